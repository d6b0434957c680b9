"""The bounded context; what is defined in this package belongs to it."""

from headwater import BoundedContext

stock = BoundedContext("stock")
