"""All of a `Changes` is written or nothing, and of several faults the first by order is told."""

import msgspec
import pytest

from headwater.errors import (
    CheckpointConflictError,
    ConcurrencyError,
    ConfigurationError,
    DeadlineExceededError,
    DuplicateValueError,
    HeadwaterError,
    IdempotencyConflictError,
    InvalidNameError,
    ReceiptExistsError,
    RowConflictError,
    StreamClosedError,
    TagConditionError,
)
from headwater.ports.changes import (
    Changes,
    CheckpointMove,
    NewEvent,
    NewReceipt,
    RowGuard,
    TagCondition,
)
from headwater.ports.log import StreamInfo, StreamState
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    archive,
    changing,
    new_event,
    restore,
    row,
    tombstone,
    truncate,
    whole_log,
)
from headwater.testing.conformance.changes.progress import checkpoints
from headwater.testing.conformance.suite import StorageSuite

USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)
EVENT = new_event(tags=("seat:1",))
RECEIPT = NewReceipt("orders", bytes(range(16)), b"digest", "null")
ARCHIVED = StreamInfo("order-8", 0, 0, StreamState.ARCHIVED)
OTHER_RECEIPT = NewReceipt("mail", bytes(range(16)), b"digest", "null")

# What `world` makes true, and for each check something that fails it, in the order of checks.
FAULTS: list[tuple[type[HeadwaterError], Changes]] = [
    (InvalidNameError, Changes(appends=(append("order-\n", new_event()),))),
    (ConfigurationError, Changes(rows=(row("nowhere", "1"),))),
    (DeadlineExceededError, Changes(deadline=1)),
    (ReceiptExistsError, Changes(receipts=(RECEIPT,))),
    (
        IdempotencyConflictError,
        Changes(receipts=(msgspec.structs.replace(OTHER_RECEIPT, digest=b"other"),)),
    ),
    (CheckpointConflictError, Changes(checkpoints=(CheckpointMove("totals", 0, 1, 2),))),
    (IdempotencyConflictError, Changes(appends=(append("order-2", EVENT),))),
    (StreamClosedError, Changes(appends=(append("gone-1", new_event()),))),
    (
        ConcurrencyError,
        Changes(appends=(append("order-1", new_event(), expected=ExpectedVersion.no_stream()),)),
    ),
    (TagConditionError, Changes(conditions=(TagCondition(("seat:1",), 0),))),
    (StreamClosedError, changing(restore("gone-1"))),
    (RowConflictError, Changes(guards=(RowGuard("users", "1", 0),))),
    (RowConflictError, Changes(rows=(row("users", "1", "a@b.c", expected=0),))),
    (DuplicateValueError, Changes(rows=(row("users", "2", "anna@b.c"),))),
]


def together(*parts: Changes) -> Changes:
    """Return the parts as one value."""
    deadlines = [part.deadline for part in parts if part.deadline is not None]
    return Changes(
        appends=sum((part.appends for part in parts), ()),
        conditions=sum((part.conditions for part in parts), ()),
        streams=sum((part.streams for part in parts), ()),
        guards=sum((part.guards for part in parts), ()),
        rows=sum((part.rows for part in parts), ()),
        checkpoints=sum((part.checkpoints for part in parts), ()),
        receipts=sum((part.receipts for part in parts), ()),
        deadline=min(deadlines, default=None),
    )


def something_of_everything(event: NewEvent) -> Changes:
    """Return changes that hold in `world` and write one of each kind."""
    return Changes(
        appends=(append("order-9", event),),
        streams=(archive("order-8"), truncate("order-9", 2)),
        rows=(row("users", "9", "nina@b.c"),),
        checkpoints=(CheckpointMove("totals", 1, 0, 9),),
        receipts=(NewReceipt("orders", event.id, b"digest", "null"),),
    )


class AtomicityConformance(StorageSuite):
    """No part of a refused commit is ever seen."""

    @pytest.fixture
    async def world(self, storage: Storage) -> Storage:
        """A storage in which each of `FAULTS` is one."""
        await storage.prepare_collections([USERS])
        await storage.open_subscription("totals", partitions=2, start_after=0)
        await storage.commit(
            Changes(
                appends=(append("order-1", EVENT),),
                streams=(tombstone("gone-1"),),
                rows=(row("users", "1", "anna@b.c"),),
                receipts=(RECEIPT, OTHER_RECEIPT),
            )
        )
        return storage

    async def test_everything_of_a_commit_is_written_together(self, world: Storage) -> None:
        event = new_event()

        committed = await world.commit(something_of_everything(event))

        assert committed.position == 2
        assert [e.id for e in await whole_log(world)] == [EVENT.id]
        assert await world.stream_info("order-8") == ARCHIVED
        assert await world.stream_info("order-9") == StreamInfo("order-9", 1, 0)
        assert "9" in await world.get_rows("users", ["9"])
        assert await checkpoints(world) == [0, 9]
        receipt = await world.receipt("orders", event.id)
        assert receipt is not None
        assert receipt.position == 2

    @pytest.mark.parametrize(("error", "fault"), FAULTS)
    async def test_a_refused_commit_changes_nothing(
        self, world: Storage, error: type[HeadwaterError], fault: Changes
    ) -> None:
        event = new_event()
        before = await whole_log(world)

        with pytest.raises(error):
            await world.commit(together(something_of_everything(event), fault))

        assert await whole_log(world) == before
        assert await world.stream_info("order-8") == StreamInfo("order-8", 0, 0)
        assert await world.stream_info("order-9") == StreamInfo("order-9", 0, 0)
        assert await world.get_rows("users", ["2", "9"]) == {}
        assert await checkpoints(world) == [0, 0]
        assert await world.receipt("orders", event.id) is None
        assert (await world.commit(something_of_everything(event))).position == 2

    @pytest.mark.parametrize("first", range(len(FAULTS)))
    async def test_of_several_faults_the_first_in_the_order_of_checks_is_raised(
        self, world: Storage, first: int
    ) -> None:
        error = FAULTS[first][0]

        with pytest.raises(error) as refusal:
            await world.commit(together(*(fault for _, fault in FAULTS[first:])))

        assert type(refusal.value) is error
