"""The order: an aggregate that decides by the shop's rules and is stored as its events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from examples.shop.sales.errors import (
    EmptyOrderError,
    MissingReasonError,
    OrderClosedError,
    OrderLineError,
    OrderNotConfirmedError,
    OrderNotOpenError,
)
from examples.shop.sales.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderShipped,
)
from examples.shop.sales.status import OrderStatus
from headwater import Aggregate, applies


class Order(Aggregate[UUID]):
    """One order of one customer. The last parameter of each action is when it happened."""

    status: OrderStatus = OrderStatus.PLACED
    placed: OrderPlaced

    @classmethod
    def place(
        cls, order_id: UUID, customer_id: str, lines: Sequence[OrderLine], at: datetime
    ) -> "Order":
        """Return a new order.

        Raises:
            EmptyOrderError: there are no lines.
            OrderLineError: a quantity is below 1 or an amount is negative.
        """
        if not lines:
            raise EmptyOrderError(order_id)
        for line in lines:
            if line.quantity < 1 or not line.amount.is_finite() or line.amount < 0:
                raise OrderLineError(line.article, quantity=line.quantity, amount=line.amount)
        order = cls(order_id)
        total = sum((line.amount for line in lines), Decimal(0))
        day = at.astimezone(UTC).date()
        placed = OrderPlaced(order_id, customer_id, day, tuple(lines), total)
        order.record(placed, occurred_at=at)
        return order

    def confirm(self, at: datetime) -> None:
        """Take on the order.

        Raises:
            OrderNotOpenError: it is more than placed, or cancelled.
        """
        if self.status is not OrderStatus.PLACED:
            raise OrderNotOpenError(self.id, self.status)
        confirmed = OrderConfirmed(self.id, self.placed.customer_id, self.placed.total)
        self.record(confirmed, occurred_at=at)

    def ship(self, tracking_number: str, at: datetime) -> None:
        """Send everything.

        Raises:
            OrderNotConfirmedError: it is not confirmed, cancelled, or shipped already.
        """
        if self.status is not OrderStatus.CONFIRMED:
            raise OrderNotConfirmedError(self.id, self.status)
        shipped = OrderShipped(self.id, self.placed.lines, tracking_number)
        self.record(shipped, occurred_at=at)

    def cancel(self, reason: str, at: datetime) -> None:
        """Send nothing.

        Raises:
            OrderClosedError: it is shipped or cancelled already.
            MissingReasonError: *reason* is blank.
        """
        if self.status in {OrderStatus.SHIPPED, OrderStatus.CANCELLED}:
            raise OrderClosedError(self.id, self.status)
        if not reason.strip():
            raise MissingReasonError(self.id)
        placed = self.placed
        cancelled = OrderCancelled(
            self.id, placed.customer_id, placed.placed_on, placed.lines, placed.total, reason
        )
        self.record(cancelled, occurred_at=at)

    @applies
    def _placed(self, event: OrderPlaced) -> None:
        self.placed = event

    @applies
    def _confirmed(self, event: OrderConfirmed) -> None:
        self.status = OrderStatus.CONFIRMED

    @applies
    def _shipped(self, event: OrderShipped) -> None:
        self.status = OrderStatus.SHIPPED

    @applies
    def _cancelled(self, event: OrderCancelled) -> None:
        self.status = OrderStatus.CANCELLED
