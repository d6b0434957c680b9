"""What a subscription is: its name, what it wants, and who consumes it."""

from collections.abc import Callable, Sequence
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


MoveCheckpoint = Callable[[Worked], tuple[CheckpointMove, ...]]
"""Gives the checkpoint move that must be committed together with what a batch has done."""


class Consumer(Protocol):
    """What a subscription feeds: a projection, a subscriber."""

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order; it picks the partition."""
        ...

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Look at a whole page before its partitions are worked, to read ahead for them."""
        ...

    async def work(self, batch: Sequence[Arrival], move: MoveCheckpoint) -> Worked:
        """Handle one partition's events in order and commit their effects with the checkpoint.

        Stops at the first event that fails, after committing what came before it. Called for
        several partitions at once.

        Raises:
            CheckpointConflictError: another worker has moved the checkpoint; nothing was written.
        """
        ...


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of *key*: CRC-32 of its UTF-8 form, modulo *partitions*. For ever."""
    return crc32(key.encode()) % partitions
