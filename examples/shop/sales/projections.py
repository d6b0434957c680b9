"""Three read models of the same events, each shaped for one question."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec

from examples.shop.sales.context import sales
from examples.shop.sales.events import OrderCancelled, OrderConfirmed, OrderPlaced, OrderShipped
from examples.shop.sales.status import OrderStatus
from headwater import Projection, ReadModel, applies


class OrderSummary(ReadModel, key="order_id", indexed=("customer_id", "status")):
    """An order as a list shows it."""

    order_id: UUID
    customer_id: str
    placed_on: date
    items: int
    total: Decimal
    status: OrderStatus = OrderStatus.PLACED
    tracking_number: str = ""


class CustomerHistory(ReadModel, key="customer_id", indexed=("spent",)):
    """What a customer has bought so far; cancelled orders don't count."""

    customer_id: str
    orders: int
    spent: Decimal
    last_order_on: date


class RevenueDay(ReadModel, key="day"):
    """What was ordered on one day, less what was cancelled of it since."""

    day: date
    orders: int
    revenue: Decimal


@sales.projection
class OrderSummaries(Projection[OrderSummary]):
    """One row per order."""

    @applies
    def placed(self, event: OrderPlaced, row: OrderSummary | None) -> OrderSummary:
        items = sum(line.quantity for line in event.lines)
        return OrderSummary(event.order_id, event.customer_id, event.placed_on, items, event.total)

    @applies
    def confirmed(self, event: OrderConfirmed, row: OrderSummary) -> OrderSummary:
        return msgspec.structs.replace(row, status=OrderStatus.CONFIRMED)

    @applies
    def shipped(self, event: OrderShipped, row: OrderSummary) -> OrderSummary:
        return msgspec.structs.replace(
            row, status=OrderStatus.SHIPPED, tracking_number=event.tracking_number
        )

    @applies
    def cancelled(self, event: OrderCancelled, row: OrderSummary) -> OrderSummary:
        return msgspec.structs.replace(row, status=OrderStatus.CANCELLED)


@sales.projection
class CustomerHistories(Projection[CustomerHistory]):
    """One row per customer who has ordered; the key is the event's `customer_id`."""

    @applies
    def placed(self, event: OrderPlaced, row: CustomerHistory | None) -> CustomerHistory:
        before = row or CustomerHistory(event.customer_id, 0, Decimal(0), event.placed_on)
        return CustomerHistory(
            event.customer_id,
            before.orders + 1,
            before.spent + event.total,
            max(before.last_order_on, event.placed_on),
        )

    @applies
    def cancelled(self, event: OrderCancelled, row: CustomerHistory) -> CustomerHistory:
        return msgspec.structs.replace(row, orders=row.orders - 1, spent=row.spent - event.total)


def day_of(event: OrderPlaced | OrderCancelled) -> date:
    """Return the key of the row that *event* belongs to."""
    return event.placed_on


@sales.projection
class RevenueDays(Projection[RevenueDay]):
    """One row per day with orders."""

    @applies(key=day_of)
    def placed(self, event: OrderPlaced, row: RevenueDay | None) -> RevenueDay:
        before = row or RevenueDay(event.placed_on, 0, Decimal(0))
        return RevenueDay(before.day, before.orders + 1, before.revenue + event.total)

    @applies(key=day_of)
    def cancelled(self, event: OrderCancelled, row: RevenueDay) -> RevenueDay:
        return RevenueDay(row.day, row.orders - 1, row.revenue - event.total)
