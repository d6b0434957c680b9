"""Lists of events under a breaker: one bad event neither opens it nor keeps it open."""

import asyncio
from uuid import UUID

import pytest

from headwater import App, Batching, BoundedContext
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ParkedKeyError
from headwater.resilience import BreakerChange, CircuitBreaker, FailureCount
from headwater.streams import ExpectedVersion
from tests.app.orders import sales
from tests.app.shop import OrderTagged

COUNT, POISON = 30, 7


class Indexing:
    """A subscriber of lists that fails while the index is away, and over one event always."""

    def __init__(self, breaker: CircuitBreaker, *, delayed: tuple[float, ...] = ()) -> None:
        self.away = False
        self.poison = POISON
        self.lists: list[list[int]] = []
        self.done: list[int] = []
        self.context: BoundedContext = sales(projection=False)

        @self.context.subscriber(
            partitions=1, batch=Batching(128, wait=0.05), policy=breaker, delayed=delayed
        )
        async def index(events: list[OrderTagged]) -> None:
            numbers = [int(event.tag) for event in events]
            self.lists.append(numbers)
            if self.away:
                raise ConnectionError("nobody there")
            if self.poison in numbers:
                raise ValueError("poison")
            self.done += numbers

    def app(self) -> App:
        app = App("shop", storage=MemoryStorage())
        app.include(self.context)
        return app


async def append(app: App, count: int = COUNT) -> None:
    for n in range(count):
        await app.event_store.append(
            f"sales.order-{n}", [OrderTagged(UUID(int=n), str(n))], expected=ExpectedVersion.any()
        )


async def until_all_are_done(app: App, indexing: Indexing, count: int = COUNT) -> None:
    async with asyncio.timeout(20):
        while len(indexing.done) < count - 1:
            await app.event_store.head()


@pytest.mark.parametrize("delayed", [(), (0.01,)])
async def test_after_an_outage_one_bad_event_is_parked_and_all_others_are_done(
    delayed: tuple[float, ...],
) -> None:
    breaker = CircuitBreaker(open_for=0.01)
    indexing = Indexing(breaker, delayed=delayed)
    indexing.away = True
    app = indexing.app()

    async with app:
        await append(app)
        while breaker.open_until is None:
            await app.event_store.head()
        indexing.away = False
        await until_all_are_done(app, indexing)
        with pytest.raises(ParkedKeyError):
            await app.settle()
        dead = await app.dead_letters.list()

    assert sorted(indexing.done) == [n for n in range(COUNT) if n != POISON]
    assert [one.position for one in dead] == [POISON + 1]


async def test_where_others_have_opened_the_breaker_a_probe_is_one_event() -> None:
    breaker = CircuitBreaker(open_for=0.01)
    indexing = Indexing(breaker)
    indexing.poison = 0
    app = indexing.app()

    async def fail() -> None:
        raise ConnectionError

    for _ in range(5):
        with pytest.raises(ConnectionError):
            await breaker.call(fail)
    async with app:
        await append(app)
        await until_all_are_done(app, indexing)

    assert indexing.lists[0] in ([0], [1])
    assert max(map(len, indexing.lists)) > 1


@pytest.mark.parametrize("delayed", [(), (0.01, 0.01)])
async def test_a_bad_event_counts_once_however_its_list_is_split(
    delayed: tuple[float, ...],
) -> None:
    told: list[BreakerChange] = []
    breaker = CircuitBreaker(FailureCount(2, window=3600), listeners=[told.append])
    indexing = Indexing(breaker, delayed=delayed)
    app = indexing.app()

    async with app:
        await append(app, 128)
        await until_all_are_done(app, indexing, 128)
        with pytest.raises(ParkedKeyError):
            await app.settle()

    assert max(map(len, indexing.lists)) > 1
    assert told == []
