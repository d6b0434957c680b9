"""The storage: one value in, one answer out, and two doors for reading."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from headwater.ports.changes import Changes, Committed
from headwater.ports.log import Log
from headwater.ports.rows import Rows

COMMITS_WAITING_MAX: Final = 10_000
"""How many commits may wait for the writer; `commit` waits for room before it queues more."""


class Capabilities(msgspec.Struct, frozen=True):
    """What a storage can do. The conformance suite tests what happens where it can't.

    `durable`: what was committed is there after the process died.
    `shared`: several processes can work on it at once.
    `news_seconds`: how late a commit of another process is noticed at most, in an idle wait.
    """

    durable: bool
    shared: bool
    news_seconds: float


class StoredReceipt(msgspec.Struct, frozen=True):
    """A receipt as stored; `position` is that of the commit it came with (`Committed`)."""

    digest: bytes
    outcome: str
    position: int


class Storage(Log, Rows, Protocol):
    """Commits `Changes` and reads what was committed.

    Usable from one event loop. `open` and `close` may be called more than once; what is
    committed and not yet done when `close` is called is finished first.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do."""
        ...

    async def open(self) -> None:
        """Connect, and make or migrate what the storage keeps its data in.

        Raises:
            SchemaVersionError: it was written by newer code, or is somebody else's.
            StorageError: it can't be used; the error says why.
        """
        ...

    async def close(self) -> None:
        """Finish the commits that wait, then let go of everything."""
        ...

    async def commit(self, changes: Changes) -> Committed:
        """Write all of *changes* in one atomic, durable step, or nothing.

        Commits that wait share one transaction (group commit) and behave as if they were done
        one by one in arrival order; each is accepted or refused alone, and if a batch fails
        for an unforeseen reason its members are tried singly.

        Per append, ids come before versions: if every event's id is known, with the same
        stream, order, type, schema version and data, the append repeats an earlier one:
        nothing is appended and the first result is returned, whatever the expected version.
        If none is known, the expected version decides. An append sees those before it in the
        same value. Positions are 1, 2, 3 … over the whole log, given in commit order, never
        reused; versions are 1, 2, 3 … within the stream; `recorded_at` is the storage's time,
        never below that of the event before it.

        A caller that is cancelled before its commit is picked up has it removed. After that
        the commit is finished whether anybody waits or not.

        Checked in this order, and the first that does not hold is raised with nothing written:

        Raises:
            DeadlineExceededError: the deadline has passed.
            ReceiptExistsError: a receipt is there already, with the same digest.
            IdempotencyConflictError: a receipt is there with another digest; or some event ids
                are known and others are not, or with other content, stream or order.
            CheckpointConflictError: a checkpoint is not where `expected` says, or its
                subscription is not open in this storage.
            ConcurrencyError: a stream is not at its expected version.
            TagConditionError: a matching event came after the condition's position.
            RowConflictError: a row is not at its expected version.
            DuplicateValueError: a unique indexed field has the value in another row. NULL is
                never a duplicate.
            InvalidNameError: a stream id can't be one.
            ConfigurationError: a collection was not prepared.
            StorageClosedError: the storage is not open.
            StorageError: the storage itself failed; nothing was written.
        """
        ...

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet."""
        ...

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[int]:
        """Return the checkpoint of each partition of *name*; their number is the stored one.

        The first call stores *partitions* (1 … 1024) and starts each after position
        *start_after*; later calls return what is stored, whatever they ask for.
        """
        ...
