"""The outbox: events that applications stage in database transactions of their own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec


class RejectedRow(msgspec.Struct, frozen=True):
    """A staged row that could not be moved, and why. `seq` is its number when it was staged."""

    seq: int
    stream_id: str
    id: UUID
    type: str
    data: str
    reason: str
    staged_at: datetime
    rejected_at: datetime


class OutboxStatus(msgspec.Struct, frozen=True):
    """How many staged rows wait, for how long the oldest has, and how many were put aside."""

    waiting: int
    oldest_seconds: float
    rejected: int


class StagedEvents(Protocol):
    """The outbox of a storage that has one, as its `outbox`.

    Events are there when the transaction in which they were staged is committed. An open
    storage moves them into the log: those of one transaction in their order, each once, and
    those that can't be moved aside. All methods raise `StorageError` if the storage fails.
    """

    @property
    def schema(self) -> str:
        """The database schema that its tables are in."""
        ...

    async def wait_until_moved(self, seq: int | None = None, *, seconds: float = 30.0) -> None:
        """Return when no committed row up to number *seq* waits any more.

        Without *seq*, up to the newest row that is there now. For tests and scripts: it polls.

        Raises:
            TimeoutError: some were still waiting after *seconds*. Does a mover run?
        """
        ...

    async def status(self) -> OutboxStatus:
        """Return how many rows wait, for how long, and how many were put aside."""
        ...

    async def rejected(self, *, after: int = 0, limit: int = 1000) -> tuple[RejectedRow, ...]:
        """Return rows that could not be moved, from number *after* (excluded) on.

        Raises:
            ValueError: *limit* is outside 1 … 1000.
        """
        ...

    async def redrive(self, seqs: Sequence[int]) -> int:
        """Stage rejected rows again, behind those that wait; return how many there were."""
        ...
