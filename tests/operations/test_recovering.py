"""After a rewind nothing speaks of events that are not there."""

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager, suppress

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import ConfigurationError
from headwater.operations.recovering import Consumer, Stray, examine, recover
from headwater.ports.changes import (
    Append,
    Changes,
    CheckpointMove,
    NewReceipt,
    RowChange,
    StreamAction,
)
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import id_bytes, new_events
from headwater.testing.conformance.suite import FAR_FUTURE_US
from tests.operations.logs import appended, changed

CONSUMERS = {"shop.summaries": Consumer("summaries"), "shop.mail": Consumer()}


@pytest.fixture
async def database(clock: ManualClock) -> AsyncIterator[MemoryStorage]:
    """Another storage, with rows and checkpoints of subscriptions on the log."""
    opened = MemoryStorage(clock)
    await opened.open()
    await opened.prepare_collections([CollectionSpec("summaries", ("key",))])
    yield opened
    await opened.close()


async def reached(database: MemoryStorage, name: str, *positions: tuple[int, bytes | None]) -> None:
    """Let a subscription stand at *positions*, one per partition."""
    await database.open_subscription(name, partitions=len(positions), start_after=0)
    moves = tuple(
        CheckpointMove(name, partition, 0, position, event_id)
        for partition, (position, event_id) in enumerate(positions)
        if position
    )
    await database.commit(Changes(checkpoints=moves))


async def event_id(log: MemoryStorage, position: int) -> bytes:
    """Return the id of the event at *position*."""
    return (await log.read_log(after=position - 1, limit=1)).events[0].id


async def standing(database: MemoryStorage) -> dict[str, list[Checkpoint]]:
    """Return where the subscriptions stand."""
    return {one.name: list(one.checkpoints) for one in await database.subscriptions()}


class CutOffError(Exception):
    """Stands for the end of the process."""


@contextmanager
def cut_off(database: MemoryStorage, *, after: int) -> Generator[None]:
    """Let a process end after so many resets of subscriptions, if it comes to one more."""
    reset, done = database.reset_subscription, 0

    async def counted(name: str, *, to: Checkpoint, clear: Sequence[str] = ()) -> int:
        nonlocal done
        if done == after:
            raise CutOffError
        done += 1
        return await reset(name, to=to, clear=clear)

    with pytest.MonkeyPatch.context() as patched, suppress(CutOffError):
        patched.setattr(database, "reset_subscription", counted)
        yield


async def test_nothing_needs_recovery_where_all_stand_in_the_log(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(5))
    at = await event_id(storage, 4)
    await reached(database, "shop.summaries", (4, at), (0, None), (5, None))

    recovery = await examine(storage, database, consumers=CONSUMERS)

    assert not recovery.needed
    assert (recovery.head, recovery.common) == (5, 4)


async def test_a_subscription_past_the_head_and_one_on_another_event_are_found(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(5))
    at = await event_id(storage, 2)
    await reached(database, "shop.mail", (2, at), (4, id_bytes()), (5, id_bytes()))
    await reached(database, "shop.summaries", (9, id_bytes()))
    await reached(database, "old.gone", (7, None))

    recovery = await examine(storage, database, consumers=CONSUMERS)

    assert recovery.strays == (
        Stray("old.gone", 1, 7, ahead=True, collection=None, known=False),
        Stray("shop.mail", 2, 5, ahead=False, collection=None, known=True),
        Stray("shop.summaries", 1, 9, ahead=True, collection="summaries", known=True),
    )
    assert recovery.common == 2


async def test_projections_are_rebuilt_and_subscribers_go_on_at_the_head(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(5))
    await reached(database, "shop.summaries", (9, id_bytes()), (3, None))
    await reached(database, "shop.mail", (9, id_bytes()), (3, None))
    await database.commit(Changes(rows=(RowChange("summaries", "a", "{}"),)))
    recovery = await examine(storage, database, consumers=CONSUMERS)

    done = await recover(storage, database, recovery)

    head = Checkpoint(5, await event_id(storage, 5))
    assert await standing(database) == {
        "shop.summaries": [Checkpoint(0)] * 2,
        "shop.mail": [head] * 2,
    }
    assert await database.count_rows("summaries") == 0
    assert (done.rows, done.subscriptions) == (
        {"summaries": 1},
        {"shop.summaries": 0, "shop.mail": 5},
    )
    assert not (await examine(storage, database, consumers=CONSUMERS)).needed


async def test_all_that_fill_a_collection_begin_again_with_one_of_them_also_after_a_cut(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    consumers = {**CONSUMERS, "shop.totals": Consumer("summaries")}
    await appended(storage, "order-1", *new_events(5))
    await reached(database, "shop.mail", (4, None))
    await reached(database, "shop.totals", (4, None), (3, None))
    await reached(database, "shop.summaries", (9, id_bytes()))
    await database.commit(Changes(rows=(RowChange("summaries", "a", "{}"),)))
    recovery = await examine(storage, database, consumers=consumers)
    assert recovery.strays == (
        Stray("shop.summaries", 1, 9, ahead=True, collection="summaries", known=True),
        Stray("shop.totals", 2, 4, ahead=False, collection="summaries", known=True, shared=True),
    )

    for commits in (0, 1):
        with cut_off(database, after=commits):
            await recover(storage, database, recovery)
        recovery = await examine(storage, database, consumers=consumers)
        assert [one.subscription for one in recovery.strays] == ["shop.summaries", "shop.totals"]
    done = await recover(storage, database, recovery)

    assert not (await examine(storage, database, consumers=consumers)).needed
    assert await standing(database) == {
        "shop.summaries": [Checkpoint(0)],
        "shop.totals": [Checkpoint(0)] * 2,
        "shop.mail": [Checkpoint(4)],
    }
    assert await database.count_rows("summaries") == 0
    assert done.subscriptions == {"shop.totals": 0, "shop.summaries": 0}


async def test_an_event_that_is_not_there_any_more_does_not_say_that_the_log_is_the_same(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(5))
    two, four = await event_id(storage, 2), await event_id(storage, 4)
    await reached(database, "shop.summaries", (4, four), (2, two))
    assert (await examine(storage, database)).common == 4

    await changed(storage, "order-1", StreamAction.TRUNCATE, 5)
    await storage.prune(before=FAR_FUTURE_US)

    recovery = await examine(storage, database)
    assert (recovery.needed, recovery.common) == (False, 0)


async def test_subscribers_can_go_on_earlier_or_begin_again(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(5))
    await reached(database, "shop.mail", (9, id_bytes()))
    await reached(database, "shop.audit", (9, id_bytes()))
    recovery = await examine(storage, database)

    await recover(storage, database, recovery, subscribers_from=3, rebuild=("shop.audit",))

    assert await standing(database) == {
        "shop.audit": [Checkpoint(0)],
        "shop.mail": [Checkpoint(3, await event_id(storage, 3))],
    }


async def test_receipts_past_the_head_are_removed(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await appended(storage, "order-1", *new_events(2))
    await appended(database, "order-1", *new_events(4))
    await database.commit(Changes(receipts=(NewReceipt("mail", id_bytes(), b"1" * 16, "1"),)))
    receipt = NewReceipt("mail", id_bytes(), b"1" * 16, "2")
    await appended(database, "order-1", *new_events(1))

    await database.commit(
        Changes(
            appends=(Append("order-2", ExpectedVersion.any(), new_events(1)),),
            receipts=(receipt,),
        )
    )

    recovery = await examine(storage, database)
    done = await recover(storage, database, recovery)

    assert (recovery.receipts, done.receipts) == (1, 1)
    assert await database.receipt("mail", receipt.message_id) is None


async def test_a_place_past_the_head_and_a_name_that_is_not_astray_are_refused(
    storage: MemoryStorage, database: MemoryStorage
) -> None:
    await reached(database, "shop.mail", (9, id_bytes()))
    recovery = await examine(storage, database)

    with pytest.raises(ConfigurationError, match="head"):
        await recover(storage, database, recovery, subscribers_from=1)
    with pytest.raises(ConfigurationError, match="other"):
        await recover(storage, database, recovery, rebuild=("other",))

    assert await standing(database) == {
        "shop.mail": [Checkpoint(9, (await database.subscriptions())[0].checkpoints[0].event_id)]
    }
