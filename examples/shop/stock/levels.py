"""How much there is of each article: one row each, moved by a subscriber to the orders."""

from examples.shop.sales.events import OrderCancelled, OrderPlaced, OrderShipped
from examples.shop.stock.context import stock
from headwater import Collection, Event, OnFailure, Query, ReadModel, Retry, UnitOfWork

DELIVERY_ITEMS = 500
"""How many of an article the supplier sends at a time."""


class StockReplenished(Event):
    """The supplier has sent more of an article."""

    article: str
    items: int


class StockLevel(ReadModel, key="article"):
    """An article: what came in, what is promised to customers, what went out, since ever."""

    article: str
    received: int = 0
    reserved: int = 0
    shipped: int = 0

    @property
    def available(self) -> int:
        """What is on the shelf and promised to nobody."""
        return self.received - self.shipped - self.reserved


class ListStock(Query[list[StockLevel]]):
    """All articles, by name."""


stock.register(StockReplenished)


def one_warehouse(_recorded: object) -> str:
    """Orders of any customer take from one shelf, so they are worked one after another."""
    return "warehouse"


# A shelf that has missed an order is wrong for ever, so nothing passes one that fails.
@stock.subscriber(
    key=one_warehouse,
    policy=Retry(3, delay=0.1),
    on_failure=OnFailure.STOP,
    external=False,
)
class StockMovements:
    """What it writes and what it appends is committed once, together with its checkpoint."""

    async def handle_placed(
        self, event: OrderPlaced, levels: Collection[StockLevel], unit: UnitOfWork
    ) -> None:
        for line in event.lines:
            before = await levels.get(line.article) or StockLevel(line.article)
            received = before.received
            if before.available < line.quantity:
                missing = line.quantity - before.available
                items = -(-missing // DELIVERY_ITEMS) * DELIVERY_ITEMS
                received += items
                unit.append(f"stock.article-{line.article}", StockReplenished(line.article, items))
            reserved = before.reserved + line.quantity
            levels.put(StockLevel(line.article, received, reserved, before.shipped))

    async def handle_shipped(self, event: OrderShipped, levels: Collection[StockLevel]) -> None:
        await _move(event, levels, shipped=True)

    async def handle_cancelled(self, event: OrderCancelled, levels: Collection[StockLevel]) -> None:
        await _move(event, levels, shipped=False)


async def _move(
    event: OrderShipped | OrderCancelled, levels: Collection[StockLevel], *, shipped: bool
) -> None:
    for line in event.lines:
        before = await levels.get(line.article) or StockLevel(line.article)
        reserved = before.reserved - line.quantity
        out = before.shipped + (line.quantity if shipped else 0)
        levels.put(StockLevel(line.article, before.received, reserved, out))


@stock.handler
async def list_stock(query: ListStock, levels: Collection[StockLevel]) -> list[StockLevel]:
    return await levels.find(limit=1000)
