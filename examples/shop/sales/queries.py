"""What can be asked about sales; answered from the read models."""

from uuid import UUID

from examples.shop.sales.context import sales
from examples.shop.sales.projections import CustomerHistory, OrderSummary, RevenueDay
from examples.shop.sales.status import OrderStatus
from headwater import Collection, Query


class GetOrder(Query[OrderSummary | None]):
    """One order."""

    order_id: UUID


class ListOrders(Query[list[OrderSummary]]):
    """A page of all orders, by id."""

    limit: int = 1000
    offset: int = 0


class CountOrders(Query[int]):
    """How many orders there are, in all or in one status."""

    status: OrderStatus | None = None


class GetCustomerHistory(Query[CustomerHistory | None]):
    """What one customer has bought."""

    customer_id: str


class ListCustomerHistories(Query[list[CustomerHistory]]):
    """A page of all customers who have ordered, those who spent most first."""

    limit: int = 1000
    offset: int = 0


class ListRevenue(Query[list[RevenueDay]]):
    """A page of the days with orders, by date."""

    limit: int = 1000
    offset: int = 0


@sales.handler
async def get_order(query: GetOrder, orders: Collection[OrderSummary]) -> OrderSummary | None:
    return await orders.get(query.order_id)


@sales.handler
async def list_orders(query: ListOrders, orders: Collection[OrderSummary]) -> list[OrderSummary]:
    return await orders.find(limit=query.limit, offset=query.offset)


@sales.handler
async def count_orders(query: CountOrders, orders: Collection[OrderSummary]) -> int:
    if query.status is None:
        return await orders.count()
    return await orders.count(status=query.status)


@sales.handler
async def get_customer_history(
    query: GetCustomerHistory, histories: Collection[CustomerHistory]
) -> CustomerHistory | None:
    return await histories.get(query.customer_id)


@sales.handler
async def list_customer_histories(
    query: ListCustomerHistories, histories: Collection[CustomerHistory]
) -> list[CustomerHistory]:
    return await histories.find(order_by="-spent", limit=query.limit, offset=query.offset)


@sales.handler
async def list_revenue(query: ListRevenue, days: Collection[RevenueDay]) -> list[RevenueDay]:
    return await days.find(limit=query.limit, offset=query.offset)
