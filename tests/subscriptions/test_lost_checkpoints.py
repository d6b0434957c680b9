"""Checkpoints that somebody removed are no reason to deliver what came before a subscription."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.leases import Checkpoint
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.start import Start
from headwater.subscriptions.subscription import Arrival
from tests.subscriptions.workbench import Workbench


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(tmp_path / "log.db")
    await storage.open()
    yield storage
    await storage.close()


def lose_checkpoints(storage: SqliteStorage) -> None:
    with closing(sqlite3.connect(storage.settings.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM headwater_checkpoints")


async def looked_at(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return once somebody has asked for the checkpoints of a subscription."""
    looked, ask = asyncio.Event(), storage.open_subscription

    async def asked(name: str, *, partitions: int, start_after: int) -> Sequence[Checkpoint]:
        found = await ask(name, partitions=partitions, start_after=start_after)
        looked.set()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(storage, "open_subscription", asked)
        async with asyncio.timeout(20):
            await looked.wait()


@pytest.mark.parametrize("noticed_by", ["a look", "a commit"])
async def test_a_subscription_from_now_goes_on_where_it_stood(
    bench: Workbench, storage: SqliteStorage, noticed_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.workers = Workers(10, 0.01) if noticed_by == "a look" else Workers(200, 100)
    seen: list[int] = []

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        seen.append(arrival.stored.position)

    for _ in range(3):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(handle, start=Start.end()))
    await bench.book("a")
    await subscriptions.settle()

    lose_checkpoints(storage)
    if noticed_by == "a look":
        await looked_at(storage, monkeypatch)
    await bench.book("a")
    await bench.book("a")
    await subscriptions.wait_for("mail", 6)

    # What was in hand when its commit was refused may have been handled once before.
    assert set(seen) == {4, 5, 6}
