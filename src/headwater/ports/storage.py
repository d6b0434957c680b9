"""The storage: one value in, one answer out, and two doors for reading."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from headwater.ports.administration import Administration
from headwater.ports.changes import Changes, Committed
from headwater.ports.leases import Checkpoint, Leases
from headwater.ports.log import Log
from headwater.ports.restoration import Restoration
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


class Storage(Log, Rows, Leases, Administration, Restoration, Protocol):
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
        """Finish the commits that wait, then let go of everything.

        A commit that comes later, and a wait for news that is under way, get a
        `StorageClosedError`. What was committed is there after the next `open`.
        """
        ...

    async def commit(self, changes: Changes) -> Committed:
        """Write all of *changes* in one atomic, durable step, or nothing.

        Commits that wait share one transaction (group commit) and behave as if they were done
        one by one in arrival order; each is accepted or refused alone, and if a batch fails
        for an unforeseen reason its members are tried singly.

        Per append, ids come before versions: if every event's id is known, with the same
        stream, order (their versions follow one another), type, schema version and data, the
        append repeats an earlier one: nothing is appended and the first result is returned,
        whatever the expected version. If none is known, the expected version decides; an id
        that stands twice in one append is a conflict. Positions are 1, 2, 3 … over the whole
        log, given in commit order, never reused; versions are 1, 2, 3 … within the stream;
        `recorded_at` is the storage's time, never below that of the event before it.

        Receipts, appends, checkpoints and rows each see those of their kind that stand before
        them in the same value. Rows are written one after another: first a row's guard is
        compared, then its unique fields, so a value that moves from one row to another must
        leave the first before the second takes it, and two rows can't swap theirs.

        A caller that is cancelled before its commit is picked up has it removed. After that
        the commit is finished whether anybody waits or not.

        Checked in this order, and the first that does not hold is raised with nothing written.
        The first four need no look at what is stored. Errors show ids as `UUID`.

        Raises:
            StorageClosedError: the storage is not open.
            InvalidNameError: a stream id can't be one.
            ConfigurationError: a collection was not prepared, or a row has another number of
                `indexed` values than its collection (a deleted row needs none).
            LimitExceededError: a tag, a row's key or an indexed value is longer than its limit.
            DeadlineExceededError: the deadline has passed.
            ReceiptExistsError: a receipt is there already, with the same digest.
            IdempotencyConflictError: a receipt is there with another digest.
            LeaseLostError: a checkpoint's token is not that of its partition, or the partition was
                released, or its subscription is not open in this storage.
            CheckpointConflictError: a checkpoint is not where `expected` says, or its
                subscription or partition is not open in this storage (`actual` is then -1).
                It comes before all that appends are refused for, so that a worker which was
                outrun hears of that, and not of what the other has appended.
            IdempotencyConflictError: some event ids are known and others are not, or with
                other content, stream or order. Of an erased event the content is not compared.
            StreamClosedError: an append brings new events to a stream that is archived,
                tombstoned, or takes only staged events. One without events only guards.
            ConcurrencyError: a stream is not at its expected version.
            TagConditionError: a matching event came after the condition's position; the error
                names the first of them.
            StreamClosedError: a stream change asks for what a tombstoned stream can't be.
                Stream changes see the appends of the same value, and those changes before them;
                to tombstone or truncate a tombstoned stream, to archive an archived one and to
                restore an open one changes nothing.
            RowConflictError: a guarded or written row is not at its expected version. Guards
                are compared before any row of the same value is written.
            DuplicateValueError: a unique indexed field has the value in another row; of several
                such fields the first of the spec is named. NULL is never a duplicate.
            ValueError: a text can't be written as UTF-8 (it holds a lone surrogate).
            OutcomeUnknownError: the connection was lost, and it could not be found out within
                the storage's own patience whether the commit was done.
            StorageError: the storage itself failed; nothing was written.
        """
        ...

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet.

        Raises:
            StorageClosedError: the storage is not open.
        """
        ...

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition of *name*; their number is the stored one.

        The first call stores *partitions* (1 … 1024) and starts each after position
        *start_after*; later calls return what is stored, whatever they ask for.

        Raises:
            ValueError: *partitions* is outside 1 … 1024, or *start_after* below 0.
            StorageClosedError: the storage is not open.
        """
        ...
