"""A package that creates a context, which all below it belongs to."""

from headwater.app import BoundedContext

sales = BoundedContext("sales")
