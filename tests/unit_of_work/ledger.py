"""An aggregate and a decider whose states show every event that was folded, and in which order."""

from typing import Any

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decider import Decider
from headwater.domain.snapshots import Snapshots
from headwater.messages import Event, Value
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.units import Units


class Entered(Event):
    cents: int


class Closed(Event):
    """Sums up what came before, so that it can be erased."""

    entries: tuple[int, ...]


class Ledger(Aggregate[str], name="ledger"):
    """Kept as its events, and nothing else."""

    entries: list[int] = []  # noqa: RUF012 - copied for each instance

    def enter(self, cents: int) -> None:
        self.record(Entered(cents))

    def close(self) -> None:
        self.record(Closed(tuple(self.entries)))

    @applies
    def _entered(self, event: Entered) -> None:
        self.entries.append(event.cents)

    @applies
    def _closed(self, event: Closed) -> None:
        self.entries = list(event.entries)


class SnapshotLedger(Ledger, name="ledger", snapshots=Snapshots(every=3)):
    """The same streams, with a snapshot every third event."""


class CachedLedger(Ledger, name="ledger", cache=2):
    """The same streams, with two states kept in memory."""


class BothLedger(Ledger, name="ledger", snapshots=Snapshots(every=2), cache=1):
    """The same streams, with snapshots and a cache."""


class Sum(Value):
    entries: tuple[int, ...] = ()


def decide_sum(command: int, state: Sum) -> list[Entered]:
    return [Entered(command)]


def evolve_sum(state: Sum, event: Entered | Closed) -> Sum:
    return Sum((*state.entries, event.cents)) if isinstance(event, Entered) else Sum(event.entries)


def sums(**loading: Any) -> Decider[int, Sum, Entered | Closed]:
    """Return a decider of the same streams."""
    return Decider(
        name="ledger",
        initial=Sum(),
        decide=decide_sum,
        evolve=evolve_sum,
        events=(Entered, Closed),
        **loading,
    )


def new_units(storage: Any) -> Units:
    """Return what a process has that begins now: nothing cached."""
    return Units(storage, codec=EventCodec(registry_of_ledgers()))


def registry_of_ledgers() -> TypeRegistry:
    registry = TypeRegistry()
    for event in (Entered, Closed):
        registry.register(event)
    return registry


async def enter(units: Units, *cents: int, id: str = "7", cls: type[Ledger] = Ledger) -> None:
    """Append an event for each of *cents*, in one commit."""
    async with units.unit_of_work() as unit:
        ledgers = unit.repository(cls)
        ledger = await ledgers.find(id)
        if ledger is None:
            ledger = cls(id)
            ledgers.add(ledger)
        for each in cents:
            ledger.enter(each)


async def entries(units: Units, *, id: str = "7", cls: type[Ledger] = Ledger) -> list[int]:
    """Return what a ledger of *cls* holds when it is loaded."""
    return (await units.new(reads_only=True).repository(cls).get(id)).entries
