"""A package to be scanned: its table, requests, handlers registered and handlers marked."""

from headwater.mediator import Handlers

table = Handlers()
