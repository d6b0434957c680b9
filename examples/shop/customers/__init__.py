"""Customers: stored as state, with a unique e-mail address and their events in the log."""

from examples.shop.customers.context import customers

__all__ = ["customers"]
