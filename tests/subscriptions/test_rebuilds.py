"""A projection begins again without its rows while workers are at it; no old row outlasts that."""

import asyncio

import pytest

from headwater.errors import SubscriptionFailedError
from headwater.operations.rebuilding import begin_again
from headwater.ports.changes import Changes, CheckpointMove, Committed
from headwater.ports.storage import Storage
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.subscription import partition_of
from tests.subscriptions.ledger import Balance, Exploded
from tests.subscriptions.workbench import Workbench


async def spoil(bench: Workbench, balance: Balance, *moves: CheckpointMove) -> None:
    """Write a row as wrong code would have, or another worker."""
    row = bench.units.row_type(Balance).written(balance, expected=None)
    await bench.storage.commit(Changes(rows=(row,), checkpoints=moves))


async def rebuild(bench: Workbench) -> int:
    rows = (bench.units.row_type(Balance).name,)
    done = await begin_again(bench.storage, bench.target, "balances", collections=rows)
    return done.rows


async def test_a_worker_that_is_idle_builds_the_rows_anew(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.workers = Workers(10, 0.01)
    for account in "aab":
        await bench.book(account)
    subscriptions = await bench.start(await bench.projection())
    await subscriptions.settle()
    await spoil(bench, Balance("a", 100))
    await spoil(bench, Balance("x", 100))
    committed, commit = asyncio.Event(), storage.commit

    async def commit_and_tell(changes: Changes) -> Committed:
        done = await commit(changes)
        committed.set()
        return done

    monkeypatch.setattr(storage, "commit", commit_and_tell)

    assert await rebuild(bench) == 3
    await asyncio.wait_for(committed.wait(), 20)

    found = [await bench.balance(account) for account in "abx"]
    assert [row and row.cents for row in found] == [2, 1, None]


async def test_what_was_folded_from_a_row_from_before_is_refused_at_the_same_checkpoint_too(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.book("a")
    subscriptions = await bench.start(await bench.projection())
    await subscriptions.settle()
    await spoil(bench, Balance("a", 100))
    held, release, commit = asyncio.Event(), asyncio.Event(), storage.commit

    async def commit_late(changes: Changes) -> Committed:
        if changes.rows and not held.is_set():
            held.set()
            await release.wait()
        return await commit(changes)

    monkeypatch.setattr(storage, "commit", commit_late)
    await bench.book("a")
    await held.wait()

    await rebuild(bench)
    again = CheckpointMove("balances", partition_of("a", 4), 0, 1)
    await spoil(bench, Balance("a", 1, 1, 1), again)
    release.set()
    await subscriptions.settle()

    assert await bench.balance("a") == Balance("a", 2, 2, 2)


async def test_a_subscription_of_this_process_begins_again_at_once_also_if_it_had_failed(
    bench: Workbench,
) -> None:
    await bench.book("a")
    await bench.append("ledger-a", Exploded("a"))
    subscriptions = await bench.start(await bench.projection())
    with pytest.raises(SubscriptionFailedError):
        await subscriptions.settle()
    await spoil(bench, Balance("a", 100))

    await subscriptions.reset("balances", lambda: rebuild(bench))

    with pytest.raises(SubscriptionFailedError, match="boom at 1"):
        await subscriptions.settle()
