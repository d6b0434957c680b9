"""What a subscription is: its name, what it wants, and who consumes it."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final, Protocol
from zlib import crc32

import msgspec

from headwater.metadata import Recorded
from headwater.ports.changes import CheckpointMove
from headwater.ports.log import EVERYTHING, LogFilter, StoredEvent
from headwater.serialization.envelope import recorded

PARTITIONS: Final = 16
"""How many partitions a subscription gets when it is first opened, unless it says otherwise."""


class Subscription(msgspec.Struct, frozen=True):
    """A durable reader of the log.

    `partitions` counts only when the name is opened for the first time; then it is stored.
    `from_now` starts a new subscription at the head instead of the beginning of the log.
    `page_events` is how many events are read, and so committed, at a time at most.
    """

    name: str
    wanted: LogFilter = EVERYTHING
    partitions: int = PARTITIONS
    from_now: bool = False
    page_events: int = 2000


class Arrival:
    """An event that has been read and decoded; its record is made when somebody asks."""

    __slots__ = ("_recorded", "key", "partition", "payload", "stored")

    def __init__(self, stored: StoredEvent, payload: object) -> None:
        self.stored, self.payload = stored, payload
        self.key, self.partition = "", 0
        self._recorded: Recorded[Any] | None = None

    @property
    def recorded(self) -> Recorded[Any]:
        """The event with its id, times, context and place in the log."""
        if self._recorded is None:
            self._recorded = recorded(self.stored, self.payload)
        return self._recorded


class Worked(msgspec.Struct, frozen=True):
    """How far a batch came: `done` events from its start; `failure` if the next one failed."""

    done: int
    failure: Exception | None = None


class Batch:
    """Events of one partition, in order, and where its checkpoint goes with them."""

    __slots__ = ("_before", "_scanned_to", "_subscription", "arrivals", "partition")

    def __init__(
        self,
        subscription: str,
        partition: int,
        arrivals: Sequence[Arrival],
        *,
        before: int,
        scanned_to: int,
    ) -> None:
        """Move the checkpoint from *before* to *scanned_to* when all *arrivals* are done."""
        self._subscription, self.partition = subscription, partition
        self.arrivals = arrivals
        self._before, self._scanned_to = before, scanned_to

    def reached(self, worked: Worked) -> int:
        """Return where the checkpoint stands after *worked*."""
        if worked.failure is None:
            return self._scanned_to
        return self.arrivals[worked.done].stored.position - 1

    def moves(self, worked: Worked) -> tuple[CheckpointMove, ...]:
        """Return the move that must be committed together with what *worked* says was done."""
        to = self.reached(worked)
        if to == self._before:
            return ()
        return (CheckpointMove(self._subscription, self.partition, self._before, to),)

    def singly(self) -> Iterator["Batch"]:
        """Yield batches of one event each that together are this one."""
        before = self._before
        for arrival, following in zip_longest(self.arrivals, self.arrivals[1:]):
            end = following.stored.position - 1 if following is not None else self._scanned_to
            yield Batch(
                self._subscription, self.partition, (arrival,), before=before, scanned_to=end
            )
            before = end


Outcome = Worked | BaseException
"""What came of a batch; an exception if its commit was refused: then nothing was written."""


class Consumer(Protocol):
    """What a subscription feeds: a projection, a subscriber."""

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order; it picks the partition."""
        ...

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Look at a whole page before its partitions are worked, to read ahead for them."""
        ...

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Handle the batches of a page, one per partition, and return what came of each.

        Each is handled in order and up to the first event that fails; the effects of what came
        before are committed together with `Batch.moves`. If another worker has moved the
        checkpoint the outcome is a `CheckpointConflictError`.
        """
        ...


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of *key*: CRC-32 of its UTF-8 form, modulo *partitions*. For ever."""
    return crc32(key.encode()) % partitions
