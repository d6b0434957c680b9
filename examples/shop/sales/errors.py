"""Why the shop says no to something about an order; each error holds the values."""

from decimal import Decimal
from uuid import UUID

from examples.shop.sales.status import OrderStatus
from headwater import RefusedError


class EmptyOrderError(RefusedError):
    """An order must have a line."""

    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        super().__init__(f"Order {order_id} has no lines. Put something into the basket.")


class OrderLineError(RefusedError):
    """A line is not one that can be sold."""

    def __init__(self, article: str, *, quantity: int, amount: Decimal) -> None:
        self.article, self.quantity, self.amount = article, quantity, amount
        super().__init__(
            f"{quantity} × {article!r} for {amount} can't be sold: the quantity must be at "
            f"least 1, and the amount not negative."
        )


class OrderNotConfirmedError(RefusedError):
    """What was asked for needs a confirmed order."""

    def __init__(self, order_id: UUID, status: OrderStatus) -> None:
        self.order_id, self.status = order_id, status
        super().__init__(f"Order {order_id} is {status.value}; only a confirmed one is shipped.")


class OrderNotOpenError(RefusedError):
    """What was asked for needs an order that was placed and nothing more."""

    def __init__(self, order_id: UUID, status: OrderStatus) -> None:
        self.order_id, self.status = order_id, status
        super().__init__(f"Order {order_id} is {status.value}; only a placed one is confirmed.")


class OrderClosedError(RefusedError):
    """It is too late to cancel."""

    def __init__(self, order_id: UUID, status: OrderStatus) -> None:
        self.order_id, self.status = order_id, status
        super().__init__(f"Order {order_id} is {status.value} already and can't be cancelled.")


class MissingReasonError(RefusedError):
    """Whoever cancels says why."""

    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        super().__init__(f"Order {order_id} is not cancelled without a reason. Give one.")
