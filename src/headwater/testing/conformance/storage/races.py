"""Writers race, a reader follows, and nobody loses an event or sees one out of order."""

import asyncio

from headwater.errors import ConcurrencyError
from headwater.ports.log import LogFilter, StoredEvent
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import appending, new_event, whole_log
from headwater.testing.conformance.suite import StorageSuite

WRITERS = 8
ROUNDS = 25


async def follow(storage: Storage, where: LogFilter, *, until: int) -> list[StoredEvent]:
    """Read the log as it grows, up to position *until*, and return what matched."""
    events: list[StoredEvent] = []
    after = 0
    while after < until:
        page = await storage.read_log(after=after, where=where, limit=7)
        assert after <= page.scanned_to <= page.head
        assert all(after < event.position <= page.scanned_to for event in page.events)
        events += page.events
        after = page.scanned_to
        if after == page.head and after < until:
            await storage.wait_for_news(after, seconds=30)
    return events


class RacesConformance(StorageSuite):
    """What holds while many write and read at the same time."""

    async def test_of_racing_writers_exactly_one_wins_each_version(self, storage: Storage) -> None:
        won: list[int] = []
        lost_to: list[tuple[int, int]] = []

        async def write(name: int) -> None:
            version = 0
            for _ in range(ROUNDS):
                event = new_event(data=f"{name}")
                expected = ExpectedVersion.exactly(version)
                try:
                    committed = await storage.commit(appending("order-1", event, expected=expected))
                except ConcurrencyError as refusal:
                    lost_to.append((version, refusal.actual))
                    version = refusal.actual
                else:
                    version = committed.appends[0].version
                    won.append(version)

        await asyncio.gather(*(write(name) for name in range(WRITERS)))

        assert all(expected < actual for expected, actual in lost_to)
        assert won
        assert sorted(won) == list(range(1, len(won) + 1))
        stored = await storage.read_stream("order-1")
        assert [event.version for event in stored] == sorted(won)

    async def test_a_reader_that_follows_the_log_misses_nothing_and_sees_no_gap(
        self, storage: Storage
    ) -> None:
        total = WRITERS * ROUNDS

        async def write(name: int) -> None:
            for number in range(ROUNDS):
                await storage.commit(appending(f"order-{name}", new_event(data=f"{number}")))

        reader = asyncio.create_task(follow(storage, LogFilter(), until=total))
        await asyncio.gather(*(write(name) for name in range(WRITERS)))

        events = await reader
        assert [event.position for event in events] == list(range(1, total + 1))
        for name in range(WRITERS):
            mine = [event.version for event in events if event.stream_id == f"order-{name}"]
            assert mine == list(range(1, ROUNDS + 1))

    async def test_a_reader_with_a_filter_that_follows_the_log_misses_nothing(
        self, storage: Storage
    ) -> None:
        total = WRITERS * ROUNDS
        where = LogFilter(types=frozenset({"sales.a"}), tags=frozenset({"x"}))

        async def write(name: int) -> None:
            for number in range(ROUNDS):
                event = new_event(
                    "sales.a" if number % 2 else "sales.b", tags=("x",) if number % 3 else ()
                )
                await storage.commit(appending(f"order-{name}", event))

        reader = asyncio.create_task(follow(storage, where, until=total))
        await asyncio.gather(*(write(name) for name in range(WRITERS)))

        assert await reader == await whole_log(storage, where)

    async def test_a_reader_sees_all_of_a_commit_or_nothing(self, storage: Storage) -> None:
        async def write() -> None:
            for number in range(ROUNDS):
                events = [new_event(data=f"{number}") for _ in range(5)]
                await storage.commit(appending("order-1", *events))

        writer = asyncio.create_task(write())
        while not writer.done():
            assert len(await storage.read_stream("order-1")) % 5 == 0
            assert await storage.head() % 5 == 0
            page = await storage.read_log()
            assert len(page.events) % 5 == 0
            assert page.head == len(page.events)
        await writer
