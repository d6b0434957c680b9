"""Contexts of the small shop, made anew for each test so that it can add to them."""

from collections.abc import AsyncIterator
from uuid import UUID

from headwater.app import BoundedContext
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from tests.app.shop import (
    GetOrder,
    ListTags,
    Order,
    OrderSummaries,
    OrderSummary,
    PlaceOrder,
    ShipOrder,
    TagOrder,
)

Orders = Repository[Order]


def sales(*, projection: bool = True, database: str | None = None) -> BoundedContext:
    """Return the context of orders, with a handler for each request."""
    sales = BoundedContext("sales")
    if projection:
        sales.projection(database=database)(OrderSummaries)

        @sales.handler
        async def show(query: GetOrder, rows: Collection[OrderSummary]) -> OrderSummary | None:
            return await rows.get(query.order_id)

    @sales.handler
    async def place(command: PlaceOrder, orders: Orders) -> UUID:
        orders.add(Order.place(command.order_id, command.total))
        return command.order_id

    @sales.handler
    async def ship(command: ShipOrder, orders: Orders) -> None:
        (await orders.get(command.order_id)).ship()

    @sales.handler
    async def tag(command: TagOrder, orders: Orders) -> int:
        order = await orders.get(command.order_id)
        order.tag(command.tag)
        return len(order.tags)

    @sales.handler
    async def tags(query: ListTags, orders: Orders) -> AsyncIterator[str]:
        for name in (await orders.get(query.order_id)).tags:
            yield name

    return sales
