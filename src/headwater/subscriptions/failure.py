"""What becomes of events that fail: the part of a partition's work that is not the normal path."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from headwater.ports.changes import RowChange
from headwater.ports.leases import Checkpoint, Lease
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack, Outcome


class Hold(msgspec.Struct, frozen=True):
    """Commit `rows`, which keep the event, together with the move past it, and go on."""

    rows: tuple[RowChange, ...]


class Stop(msgspec.Struct, frozen=True):
    """Stop the subscription with the error: nothing may pass the event."""


class Suspend(msgspec.Struct, frozen=True):
    """Leave the event, and all others, until the clock's `until`: what they need is away.

    Nobody's attempts are used up meanwhile. `why` is for the status.
    """

    until: float
    why: str


Resolution = Hold | Stop | Suspend

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

    def holds(self, key: str) -> bool:
        """Return whether events of *key* have to wait."""
        ...

    def hold_back(self, arrivals: Sequence[Arrival]) -> HeldBack:
        """Return what keeps the place of one stored event whose key is held.

        Raises:
            HeldLimitError: too many wait; the subscription stops.
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

    async def work_due(self, at: Checkpoint, work: Work) -> Suspend | None:
        """Do what is due: redeliver what was delayed, carry out what operators have asked for.

        *at* is where the partition stands; batches that are made here leave it there.
        """
        ...
