"""What must be true when all is done, seen from the input, the log and the read models."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

from examples.shop.audit.trail import CountEntries
from examples.shop.crm.cards import CountCards
from examples.shop.customers.events import CustomerRegistered
from examples.shop.intake.sums import Sums
from examples.shop.mail.confirmations import CountConfirmations
from examples.shop.sales.events import OrderCancelled, OrderConfirmed, OrderPlaced, OrderShipped
from examples.shop.sales.projections import OrderSummary
from examples.shop.sales.queries import (
    CountOrders,
    ListCustomerHistories,
    ListOrders,
    ListRevenue,
)
from examples.shop.sales.status import OrderStatus
from examples.shop.stock.levels import ListStock, StockReplenished
from headwater import App, EventStore, Query, Recorded

T = TypeVar("T")

PAGE_ROWS: Final = 5000


class Replay:
    """What the log says, added up anew, by other means than the projections'."""

    def __init__(self) -> None:
        self.events = 0
        self.gapless = True
        self.counts: Counter[type] = Counter()
        self.customers: Counter[str] = Counter()
        self.replenished = 0
        self.spent: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.by_day: defaultdict[date, Decimal] = defaultdict(Decimal)
        self.orders_digest = 0

    def take(self, recorded: Recorded[Any]) -> None:
        """Add one event, which follows on the last one."""
        self.events += 1
        self.gapless = self.gapless and recorded.position == self.events
        event = recorded.payload
        self.counts[type(event)] += 1
        match event:
            case CustomerRegistered():
                self.customers[event.customer_id] += 1
            case StockReplenished():
                self.replenished += event.items
            case OrderPlaced():
                self._book(event, event.total)
                self.orders_digest += digest(event.order_id, event.customer_id, event.total)
            case OrderShipped():
                self.orders_digest += digest(event.order_id, event.tracking_number)
            case OrderCancelled():
                self._book(event, -event.total)
            case _:
                pass

    def _book(self, event: OrderPlaced | OrderCancelled, amount: Decimal) -> None:
        self.spent[event.customer_id] += amount
        self.by_day[event.placed_on] += amount


class Rows:
    """What the read models of sales say, added up."""

    def __init__(self) -> None:
        self.orders = 0
        self.revenue = Decimal(0)
        self.orders_digest = 0
        self.spent: dict[str, Decimal] = {}
        self.by_day: dict[date, Decimal] = {}

    async def read(self, app: App) -> None:
        """Read all rows, a page at a time."""
        async for order in pages(app, lambda at: ListOrders(PAGE_ROWS, at)):
            self._take_order(order)
        async for history in pages(app, lambda at: ListCustomerHistories(PAGE_ROWS, at)):
            self.spent[history.customer_id] = history.spent
        async for day in pages(app, lambda at: ListRevenue(PAGE_ROWS, at)):
            self.by_day[day.day] = day.revenue

    def _take_order(self, order: OrderSummary) -> None:
        self.orders += 1
        self.orders_digest += digest(order.order_id, order.customer_id, order.total)
        if order.status is OrderStatus.SHIPPED:
            self.orders_digest += digest(order.order_id, order.tracking_number)
        if order.status is not OrderStatus.CANCELLED:
            self.revenue += order.total


class Sent(Protocol):
    """Who takes letters."""

    @property
    def sent(self) -> int:
        """How many different ones were taken."""
        ...


class MailBooks:
    """Compares the letters sent by this process with the rows written for them meanwhile."""

    def __init__(self, app: App, mail: Sent) -> None:
        self._app, self._mail = app, mail
        self._sent_before = self._rows_before = 0

    async def open(self) -> None:
        """Take stock before the work, when all subscriptions have settled."""
        self._sent_before = self._mail.sent
        self._rows_before = await self._app.send(CountConfirmations())

    async def balance(self, confirmed: int) -> bool:
        """Return whether there is a row per confirmed order, and was a letter for each new one."""
        rows = await self._app.send(CountConfirmations())
        sent = self._mail.sent - self._sent_before
        return rows == confirmed and sent == rows - self._rows_before


class Findings:
    """The invariants by name, and the totals that they were checked by."""

    def __init__(self, rows: Rows, replay: Replay, invariants: dict[str, bool]) -> None:
        self.orders, self.revenue = rows.orders, rows.revenue
        self.customers, self.events = len(replay.customers), replay.events
        self.invariants = invariants

    @property
    def ok(self) -> bool:
        """Whether all invariants hold."""
        return all(self.invariants.values())


async def check(app: App, sums: Sums, books: MailBooks) -> Findings:
    """Compare read models, log and input of a shop that has settled."""
    rows, replay = Rows(), Replay()
    await rows.read(app)
    async for recorded in (await app.get(EventStore)).read_all(internal=True):
        replay.take(recorded)
    placed, confirmed = replay.counts[OrderPlaced], replay.counts[OrderConfirmed]
    registered = replay.customers
    shelf = await app.send(ListStock())
    return Findings(
        rows,
        replay,
        {
            "orders_match_input": rows.orders == placed == sums.orders,
            "revenue_matches_input": rows.revenue == sums.revenue,
            "revenue_per_day_adds_up": rows.by_day == sums.by_day,
            "every_customer_registered_once": set(registered) == set(sums.by_customer)
            and registered.total() == len(registered) == await app.send(CountCards()),
            "every_order_shipped": await app.send(CountOrders(OrderStatus.SHIPPED))
            == replay.counts[OrderShipped]
            == sums.orders,
            "mail_once_per_order": await books.balance(confirmed),
            "audit_has_every_event": await app.send(CountEntries()) == replay.events,
            "stock_balances": sum(level.shipped for level in shelf) == sums.cds
            and sum(level.received for level in shelf) == replay.replenished
            and all(level.reserved == 0 <= level.available for level in shelf),
            "log_positions_gapless": replay.gapless,
            "read_models_equal_replay": rows.orders_digest == replay.orders_digest
            and rows.spent == replay.spent
            and rows.by_day == replay.by_day,
        },
    )


async def pages(app: App, query: Callable[[int], Query[list[T]]]) -> AsyncIterator[T]:
    """Yield all rows that *query* gives for rising offsets."""
    offset = 0
    while page := await app.send(query(offset)):
        for row in page:
            yield row
        offset += len(page)


def digest(*values: object) -> int:
    """Return a number for *values*. Sums of them are equal if the sets are, in any order."""
    text = "|".join(map(str, values))
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
