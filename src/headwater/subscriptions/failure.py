"""What becomes of events that fail: the part of a partition's work that is not the normal path."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from headwater.ports.changes import RowChange, RowGuard
from headwater.ports.leases import Checkpoint, Lease
from headwater.subscriptions.status import HeldCounts
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack, Outcome


class Hold(msgspec.Struct, frozen=True):
    """Commit `rows`, which keep the event, together with the move past it, and go on."""

    rows: tuple[RowChange, ...]


class Stop(msgspec.Struct, frozen=True):
    """Stop the subscription with `error`: nothing may pass the event at `position`."""

    error: Exception
    position: int


class Suspend(msgspec.Struct, frozen=True):
    """Leave the event, and all others, until `Failures.ready` returns: what they need is away.

    Nobody's attempts are used up meanwhile. `until` is the clock's monotonic time until which it
    surely lasts, `why` is for the status.
    """

    until: float
    why: str


Resolution = Hold | Stop | Suspend


class Charge(msgspec.Struct, frozen=True):
    """The partition that a `Failures` is for: number *partition* of *partitions*.

    `guards` returns what must hold for each commit that it makes itself, as the runner knows it
    then. It calls `wake` when `due_at` may have become earlier without the lane's doing.
    """

    partition: int
    partitions: int
    guards: Callable[[], tuple[RowGuard, ...]]
    wake: Callable[[], None]


Work = Callable[[Batch], Awaitable[Outcome]]
"""Hands a batch to the consumer and commits; raises what is no event's fault."""


class Failures(Protocol):
    """The events of one leased partition that failed, and those that wait behind them.

    One is made for each lease, and only its partition's lane calls it, never twice at once. What
    it remembers follows what is committed; where a commit is refused, the lane calls `load` again.
    """

    async def load(self, lease: Lease) -> None:
        """Read what is held in the partition; before its first batch."""
        ...

    def leave(self) -> None:
        """Hear that the lease is gone, or is given up: nothing of this is called any more."""
        ...

    async def ready(self) -> None:
        """Return when the next batch may be handed over: at once, unless the events are suspended.

        While they are, one lane of all that wait here goes first, and tries whether what the
        events need is there again. To be awaited before each batch that has arrivals.
        """
        ...

    def holds(self, key: str) -> bool:
        """Return whether events of *key* have to wait."""
        ...

    def hold_back(self, arrivals: Sequence[Arrival]) -> HeldBack:
        """Return what keeps the place of *arrivals*, of one stored event, whose keys are held.

        Of an event that became several, only those whose key is held are held back. Called again
        for an event, because its batch came to nothing, it returns the same.

        Raises:
            HeldLimitError: too many wait. The partition goes no further until `work_due`, or an
                operator through it, has made room; it is tried again after each `work_due`.
        """
        ...

    async def resolve(self, arrivals: Sequence[Arrival], error: Exception) -> Resolution:
        """Say what becomes of one stored event of which the handling failed with *error*."""
        ...

    def passed(self, batch: Batch, done: int) -> None:
        """Hear that the first *done* arrivals of *batch* are committed, without a failure."""
        ...

    @property
    def alone(self) -> bool:
        """Whether each event has to be tried alone, because a worker may have died over one."""
        ...

    async def before_alone(self, batch: Batch) -> Resolution | None:
        """Note durably that the one event of *batch* is tried alone now; None: go on with it."""
        ...

    @property
    def due_at(self) -> float | None:
        """The clock's monotonic time at which `work_due` has something to do; None: never."""
        ...

    async def work_due(self, at: Checkpoint, work: Work) -> Suspend | Stop | None:
        """Do some of what is due: redeliver what was delayed, carry out what operators ask for.

        *at* is where the partition stands; batches that are made here leave it there. It never
        takes long: `due_at` says whether more is due. It is not called while a batch is in the
        making or under way for which something was held back.
        """
        ...

    def parked(self, position: int) -> Sequence[str]:
        """Return the keys that stand behind a dead letter at or before *position*."""
        ...

    def pending(self, position: int) -> bool:
        """Return whether something at or before *position* is still to be tried again."""
        ...

    def counts(self) -> HeldCounts:
        """Return how much is held."""
        ...


FailuresOf = Callable[[Charge], Failures]
"""Makes what handles the failures of one partition; a subscription has one such function."""
