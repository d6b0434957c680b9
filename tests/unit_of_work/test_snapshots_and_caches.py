"""Whatever happens in between: with snapshots and caches a load gives what it gives without."""

import asyncio
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.adapters.storage.memory import MemoryStorage
from headwater.domain.snapshots import Snapshots
from headwater.operations.snapshots import SNAPSHOTS
from headwater.ports.changes import Append, Changes, NewEvent, StreamAction, StreamChange
from headwater.ports.log import StoredEvent
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.units import Units
from tests.unit_of_work.ledger import (
    BothLedger,
    CachedLedger,
    Ledger,
    SnapshotLedger,
    enter,
    new_units,
    sums,
)

STREAM = "app.ledger-7"
CLASSES: tuple[type[Ledger], ...] = (Ledger, SnapshotLedger, CachedLedger, BothLedger)
DECIDERS = tuple(
    sums(snapshots=Snapshots(every=every) if every else None, cache=cache)
    for every in (0, 2, 5)
    for cache in (0, 1)
)

PROCESS = st.integers(0, 1)
CLASS = st.sampled_from(CLASSES)
STEPS = st.one_of(
    st.tuples(st.just("enter"), PROCESS, CLASS, st.integers(1, 4)),
    st.tuples(st.just("enter"), PROCESS, CLASS, st.integers(1, 4)),
    st.tuples(st.just("load"), PROCESS, CLASS, st.just(0)),
    st.tuples(st.just("load"), PROCESS, CLASS, st.just(0)),
    st.tuples(st.just("decide"), PROCESS, st.sampled_from(DECIDERS), st.just(1)),
    st.tuples(st.just("other"), PROCESS, CLASS, st.integers(1, 4)),
    st.tuples(st.just("sum up and erase"), PROCESS, CLASS, st.integers(0, 1)),
    st.tuples(st.just("write snapshots"), PROCESS, CLASS, st.just(0)),
    st.tuples(st.just("crash"), PROCESS, CLASS, st.just(0)),
    st.tuples(st.just("rewind"), PROCESS, CLASS, st.integers(0, 6)),
)


class World:
    """Two processes on one storage, and what the stream of ledger 7 must hold."""

    def __init__(self) -> None:
        self.inner = MemoryStorage()
        self.processes: list[Units] = []
        self.expected: list[int] = []
        self.history: list[tuple[StoredEvent, list[int]]] = []
        self.next = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def begin(self) -> None:
        await self.inner.open()
        self.processes = [new_units(cast("Storage", self)) for _ in range(2)]

    async def step(self, step: tuple[str, int, Any, int]) -> None:
        """Do one thing, as its name says."""
        name, process, kind, n = step
        units = self.processes[process]
        if name == "enter":
            await enter(units, *self._new(n), cls=kind)
        elif name == "load":
            await units.new(reads_only=True).repository(kind).find("7")
        elif name == "decide":
            async with units.unit_of_work() as unit:
                await unit.decide(kind, "7", self._new(1)[0])
        elif name == "other":
            await enter(units, *range(n), id="8", cls=kind)
        elif name == "sum up and erase" and self.history:
            await self._erase(units, kind, around=n)
        elif name == "write snapshots":
            await units.drain(seconds=10)
        elif name == "crash":
            await units.drain(seconds=0)
            self.processes[process] = new_units(cast("Storage", self))
        elif name == "rewind":
            await self._rewind(len(self.history) - n)
            # Somebody else goes on from there, as far as it was or further.
            await enter(new_units(self.inner), *self._new(n))
        await self._note()

    async def check(self) -> None:
        """Compare what everybody sees with what must be there."""
        for units in self.processes:
            for cls in CLASSES:
                ledger = await units.new(reads_only=True).repository(cls).find("7")
                assert (ledger.entries if ledger else []) == self.expected, cls
                assert (ledger.version if ledger else 0) == len(self.history), cls
            for decider in DECIDERS:
                loaded = await units.decider_type(decider).load("7")
                assert [*loaded.state.entries] == self.expected
                assert loaded.version == len(self.history)

    def _new(self, n: int) -> list[int]:
        new = [*range(self.next, self.next + n)]
        self.next += n
        self.expected += new
        return new

    async def _erase(self, units: Units, kind: type[Ledger], *, around: int) -> None:
        async with units.unit_of_work() as unit:
            (await unit.repository(kind).get("7")).close()
        await self._note()
        # The event that sums up is the first one left; or, with the next, the second.
        change = StreamChange(STREAM, StreamAction.TRUNCATE, len(self.history) - around)
        await self.inner.commit(Changes(streams=(change,)))

    async def _note(self) -> None:
        """Remember the new events, and what the ledger was after each: it only grows."""
        after = len(self.history)
        for stored in await self.inner.read_stream(STREAM, from_version=after + 1):
            known = self.history[-1][1] if self.history else []
            grown = [] if stored.type == "app.closed" else [self.expected[len(known)]]
            self.history.append((stored, [*known, *grown]))

    async def _rewind(self, version: int) -> None:
        """Put a restored backup in the place of the storage; it has no snapshots."""
        self.history = self.history[: max(0, version)]
        self.expected = [*self.history[-1][1]] if self.history else []
        other = MemoryStorage()
        await other.open()
        prepared: list[CollectionSpec] = [SNAPSHOTS]
        await other.prepare_collections(prepared)
        events = tuple(
            NewEvent(stored.id, stored.type, 1, stored.data, 0) for stored, _ in self.history
        )
        await other.commit(Changes((Append(STREAM, ExpectedVersion.no_stream(), events),)))
        for units in self.processes:
            await units.drain(seconds=0)
        self.inner = other


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=15))
def test_the_state_is_the_same_with_snapshots_and_caches_and_without(
    steps: list[tuple[str, int, Any, int]],
) -> None:
    async def run() -> None:
        world = World()
        await world.begin()
        for step in steps:
            await world.step(step)
        await world.check()
        for units in world.processes:
            await units.drain(seconds=10)
        await world.check()

    asyncio.run(run())
