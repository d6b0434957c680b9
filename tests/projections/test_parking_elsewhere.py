"""Projections that park: functions, rows in a database, and after a worker has died."""

import asyncio

import pytest

from headwater import App, BoundedContext, Collection, OnFailure, Projection, applies
from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import ConfigurationError, ParkedKeyError, WiringError
from headwater.ports.changes import Changes, Committed
from headwater.ports.storage import Storage
from tests.projections.books import (
    ACCOUNTS,
    EVERYTHING_HELD,
    Balance,
    Booked,
    Books,
    MendedBooks,
    balances,
    book,
    books,
    nothing_held,
)


async def test_a_function_may_park_too(storage: Storage) -> None:
    context = BoundedContext("books")
    context.register(Booked)

    @context.projection(on_failure=OnFailure.PARK_KEY)
    async def kept(event: Booked, rows: Collection[Balance]) -> None:
        if event.cents < 0:
            raise ValueError("no debts")
        rows.put(Balance(event.account, event.cents))

    app = App("books", storage=storage)
    app.include(context)
    async with app:
        at = await book(app, ("a", -1), ("a", 2), ("b", 3))
        with pytest.raises(ParkedKeyError, match=r"books\.account-a"):
            await app.wait_for(kept, at)
        assert await balances(app) == {"b": (3, 0)}
        (dead,) = await app.dead_letters.list()
        assert (await app.dead_letters.dry_run(dead.id)).failure is not None


async def test_what_is_delayed_holds_its_row_until_it_is_folded_after_all() -> None:
    clock, tries = ManualClock(), list[int]()

    class Delayed(Projection[Balance], name="balances", delayed=(60,)):
        @applies
        def booked(self, event: Booked, row: Balance | None) -> Balance:
            tries.append(event.cents)
            if tries == [1]:
                raise ValueError("once")
            return Balance(event.account, event.cents, (row.bookings if row else 0) + 1)

    async with books(Delayed, MemoryStorage(), clock=clock) as app:
        await book(app, ("a", 1), ("a", 2), ("b", 3))
        async with asyncio.timeout(20):
            while await app.dead_letters.count(EVERYTHING_HELD) < 2:  # noqa: ASYNC110 - a storage
                await asyncio.sleep(0.01)
        clock.advance(60)
        await app.settle()

        assert await balances(app) == {"a": (2, 2), "b": (3, 1)}
    assert tries.index(2) > tries.index(1, 1)


async def test_what_reaches_outside_is_not_run_dry_though_it_is_a_projection() -> None:
    context = BoundedContext("books")
    context.register(Booked)

    @context.projection(on_failure=OnFailure.PARK_KEY, external=True)
    async def kept(event: Booked) -> None:
        raise ValueError("no")

    app = App("books", storage=MemoryStorage())
    app.include(context)
    async with app:
        at = await book(app, ("a", 1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(kept, at)
        (dead,) = await app.dead_letters.list()
        with pytest.raises(ConfigurationError, match="external"):
            await app.dead_letters.dry_run(dead.id)


async def test_rows_in_a_database_have_what_is_held_beside_them(storage: Storage) -> None:
    rows = MemoryStorage()
    async with books(Books, storage, databases={"rows": rows}) as app:
        at = await book(app, ("a", -1), ("a", 2))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(Books, at)
        assert await app.dead_letters.count() == 0
        dead_letters = app.dead_letters.in_database("rows")
        (dead,) = await dead_letters.list()

        corrected = '{"account":"a","cents":1}'
        assert (await dead_letters.dry_run(dead.id, data=corrected)).failure is None
        await dead_letters.edit(dead.id, corrected, author="ada", reason="the sign")
        await dead_letters.replay([dead], by="ada")
        await nothing_held(dead_letters)

        await app.settle()
        assert await balances(app) == {"a": (3, 2)}
        with pytest.raises(ConfigurationError, match="rows"):
            app.dead_letters.in_database("others")


def test_what_makes_no_sense_is_refused() -> None:
    class Inline(Projection[Balance], inline=True, on_failure=OnFailure.PARK_KEY):
        booked = MendedBooks.booked

    with pytest.raises(WiringError, match="refuses the append"):
        books(Inline, MemoryStorage()).check()
    with pytest.raises(ConfigurationError, match="class header"):
        BoundedContext("books").projection(on_failure=OnFailure.PARK_KEY)(Books)


class Watched(MemoryStorage):
    """Remembers how many rows of the read model each commit writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[int] = []

    async def commit(self, changes: Changes) -> Committed:
        self.written.append(sum(row.collection == "books_balance" for row in changes.rows))
        return await super().commit(changes)


async def test_after_a_crash_one_event_is_folded_at_a_time_of_all_partitions() -> None:
    storage = Watched()
    await storage.open()
    await storage.open_subscription("books.balances", partitions=4, start_after=0)
    await storage.lease_partitions("who died", ["books.balances"], seconds=0.01)
    async with books(Books, storage, run_subscriptions=False) as app:
        at = await book(app, *((account, 1) for account in ACCOUNTS))

    async with books(Books, storage) as app:
        await app.wait_for(Books, at)

        assert await balances(app) == dict.fromkeys(ACCOUNTS, (1, 1))
    assert max(storage.written) == 1
