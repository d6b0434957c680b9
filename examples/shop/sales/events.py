"""What happens to orders.

An event says all that its readers need, so that none of them has to ask for more.
"""

from datetime import date
from decimal import Decimal
from uuid import UUID

from headwater import Event, Value


class OrderLine(Value):
    """Some of one article, and what they cost together."""

    article: str
    quantity: int
    amount: Decimal


class OrderPlaced(Event):
    """A customer wants these things."""

    order_id: UUID
    customer_id: str
    placed_on: date
    lines: tuple[OrderLine, ...]
    total: Decimal


class OrderConfirmed(Event):
    """The shop has taken on the order."""

    order_id: UUID
    customer_id: str
    total: Decimal


class OrderShipped(Event):
    """The things have left the house."""

    order_id: UUID
    lines: tuple[OrderLine, ...]
    tracking_number: str


class OrderCancelled(Event):
    """Nothing will be shipped."""

    order_id: UUID
    customer_id: str
    placed_on: date
    lines: tuple[OrderLine, ...]
    total: Decimal
    reason: str
