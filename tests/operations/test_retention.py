"""Repeats are recognised for as long as the retention says, and not for ever."""

import asyncio
from datetime import timedelta

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import ConfigurationError, StorageBusyError
from headwater.operations.retention import Pruner, Retention, prune
from headwater.ports.administration import Pruned
from headwater.ports.changes import Changes, NewReceipt, StreamAction
from headwater.testing.conformance.builders import id_bytes, new_event, new_events
from tests.operations.logs import appended, changed

WEEK = Retention(deduplication_window=timedelta(days=7), every=timedelta(hours=6), batch=2)


async def handled(storage: MemoryStorage, count: int = 1) -> list[bytes]:
    """Store the receipts of *count* messages, and return their ids."""
    ids = [id_bytes() for _ in range(count)]
    for id in ids:
        await storage.commit(Changes(receipts=(NewReceipt("mail", id, b"1" * 16, "1"),)))
    return ids


async def test_a_receipt_stays_for_the_window_and_not_longer(
    storage: MemoryStorage, clock: ManualClock
) -> None:
    (id,) = await handled(storage)

    clock.advance(timedelta(days=7))
    await prune(storage, WEEK, clock=clock)
    within = await storage.receipt("mail", id)
    clock.advance(1)
    await prune(storage, WEEK, clock=clock)

    assert within is not None
    assert await storage.receipt("mail", id) is None


async def test_an_erased_event_is_recognised_for_the_window_and_counts_as_new_past_it(
    storage: MemoryStorage, clock: ManualClock
) -> None:
    event = new_event()
    await appended(storage, "order-1", event)
    await changed(storage, "order-1", StreamAction.TRUNCATE, 2)
    await appended(storage, "order-1", event)
    before = await storage.head()

    clock.advance(timedelta(days=8))
    gone = await prune(storage, WEEK, clock=clock)
    await appended(storage, "order-1", event)

    assert (before, gone, await storage.head()) == (1, Pruned(0, 1), 2)


async def test_all_that_is_old_goes_in_batches(storage: MemoryStorage, clock: ManualClock) -> None:
    await handled(storage, 5)
    await appended(storage, "order-1", *new_events(3))
    await changed(storage, "order-1", StreamAction.TOMBSTONE)
    clock.advance(timedelta(days=8))

    assert await prune(storage, WEEK, clock=clock) == Pruned(5, 3)


async def test_a_pruner_looks_at_once_and_then_every_so_often(
    storage: MemoryStorage, clock: ManualClock
) -> None:
    first = await handled(storage)
    clock.advance(timedelta(days=8))
    second = await handled(storage)
    pruner = Pruner(storage, WEEK, clock=clock)

    pruner.start()
    await _until_gone(storage, first[0])
    kept = await storage.receipt("mail", second[0])
    for _ in range(30):
        clock.advance(timedelta(hours=6))
        await asyncio.sleep(0)
    await _until_gone(storage, second[0])
    await pruner.stop()

    assert kept is not None


async def _until_gone(storage: MemoryStorage, id: bytes) -> None:
    for _ in range(1000):
        if await storage.receipt("mail", id) is None:
            return
        await asyncio.sleep(0)
    pytest.fail("The receipt is still there.")


async def test_a_pruner_goes_on_after_a_storage_was_busy(
    storage: MemoryStorage, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = await handled(storage)
    clock.advance(timedelta(days=8))
    real, failed = storage.prune, asyncio.Event()

    async def busy(*, before: int, limit: int = 10_000) -> Pruned:
        if failed.is_set():
            return await real(before=before, limit=limit)
        failed.set()
        raise StorageBusyError("Locked.")

    monkeypatch.setattr(storage, "prune", busy)
    pruner = Pruner(storage, WEEK, clock=clock)

    pruner.start()
    await failed.wait()
    await asyncio.sleep(0)
    clock.advance(timedelta(hours=6))
    await _until_gone(storage, id)
    await pruner.stop()


async def test_a_pruner_tells_what_it_did_not_expect_and_goes_on(
    storage: MemoryStorage,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = asyncio.Event()

    async def broken(*, before: int, limit: int = 10_000) -> Pruned:
        asked.set()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(storage, "prune", broken)
    pruner = Pruner(storage, WEEK, clock=clock)

    pruner.start()
    for _ in range(2):
        await asked.wait()
        asked.clear()
        await asyncio.sleep(0)
        clock.advance(timedelta(hours=6))
    await asked.wait()
    await pruner.stop()

    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"deduplication_window": timedelta(0)},
        {"deduplication_window": timedelta(days=36_501)},
        {"every": timedelta(seconds=-1)},
        {"every": timedelta(days=36_501)},
        {"batch": 0},
        {"batch": 100_001},
    ],
)
def test_a_retention_that_makes_no_sense_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Retention(**wrong)  # type: ignore[arg-type] # meant to be wrong
