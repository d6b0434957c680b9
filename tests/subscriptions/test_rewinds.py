"""A log that is not the one that was read: told, whenever it happens, instead of read past."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import LogRewoundError, StorageUnavailableError, SubscriptionFailedError
from headwater.ports.leases import Checkpoint
from headwater.subscriptions import reader
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.start import Start
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.ledger import Balance
from tests.subscriptions.workbench import Workbench


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(tmp_path / "log.db")
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> SqliteStorage:
    """Where the checkpoints are, so that the log alone goes back."""
    return SqliteStorage(tmp_path / "checkpoints.db")


@pytest.fixture
async def bench(storage: SqliteStorage, elsewhere: SqliteStorage) -> AsyncIterator[Workbench]:
    await elsewhere.open()
    bench = Workbench(storage, target=elsewhere)
    yield bench
    await bench.stop()
    await elsewhere.close()


class Seen:
    def __init__(self) -> None:
        self.ids: list[bytes] = []

    async def __call__(self, arrival: Arrival, delivery: Delivery) -> None:
        self.ids.append(arrival.stored.id)


def copy(of: Path, to: Path) -> None:
    """Make one database what the other is; both may be in use."""
    with closing(sqlite3.connect(of)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


async def book(bench: Workbench, *accounts: str) -> None:
    for account in accounts:
        await bench.book(account)


async def run(bench: Workbench, partitions: int = 4) -> Subscriptions:
    """Start the projection, whose rows and checkpoints are elsewhere."""
    return await bench.start(await bench.projection(partitions=partitions))


async def assert_stopped(bench: Workbench, subscriptions: Subscriptions, *, at: int) -> None:
    """Assert that the subscription says that the log is another, to everybody who asks."""
    with pytest.raises(SubscriptionFailedError, match="LogRewoundError") as waiting:
        await subscriptions.wait_for("balances", 1_000)
    with pytest.raises(SubscriptionFailedError) as settling:
        await subscriptions.settle()
    with pytest.raises(SubscriptionFailedError) as reached:
        await subscriptions.wait_for("balances", 1)

    for told in (waiting, settling, reached):
        cause = told.value.__cause__
        assert isinstance(cause, LogRewoundError)
        assert cause.position == at
    status = bench.status("balances")
    assert status.state is SubscriptionState.FAILED
    assert "Subscription 'balances' stands at position" in (status.error or "")
    assert "the log is not the one it read" in (status.error or "")


@pytest.mark.parametrize("more", [0, 2, 3, 9], ids="{}-more".format)
async def test_a_log_that_was_replaced_while_a_subscription_was_stopped_is_told_at_its_start(
    bench: Workbench, storage: SqliteStorage, tmp_path: Path, more: int
) -> None:
    await book(bench, *"abc")
    copy(storage.settings.path, tmp_path / "backup.db")
    await book(bench, *"abc")
    subscriptions = await run(bench)
    await subscriptions.settle()
    await subscriptions.stop()
    await storage.close()
    copy(tmp_path / "backup.db", storage.settings.path)
    await storage.open()
    await book(bench, *"d" * more)

    with pytest.raises(LogRewoundError, match="Subscription 'balances'") as told:
        await run(bench)

    assert (told.value.position, told.value.head) == (6, 3 + more)


async def test_every_partition_is_verified_at_the_start(
    bench: Workbench, storage: SqliteStorage, elsewhere: SqliteStorage
) -> None:
    await book(bench, *"abcdef")
    subscriptions = await run(bench)
    await subscriptions.settle()
    await subscriptions.stop()
    ours = (await storage.read_log()).events
    with closing(sqlite3.connect(elsewhere.settings.path, isolation_level=None)) as operator:
        operator.execute(
            "UPDATE headwater_checkpoints SET position = 2, event_id = ? WHERE partition = 1",
            (ours[2].id,),
        )

    with pytest.raises(LogRewoundError) as told:
        await run(bench)

    assert told.value.position == 2


@pytest.mark.parametrize("more", [3, 9], ids="{}-more".format)
async def test_a_log_that_is_replaced_behind_a_running_subscription_stops_it(
    bench: Workbench, storage: SqliteStorage, tmp_path: Path, more: int
) -> None:
    await book(bench, *"abc")
    copy(storage.settings.path, tmp_path / "backup.db")
    await book(bench, *"abc")
    subscriptions = await run(bench)
    await subscriptions.settle()
    before = await bench.balance("d")

    with closing(sqlite3.connect(tmp_path / "backup.db", isolation_level=None)) as backup:
        # In one step, so that the subscription can't look while the log is shorter.
        backup.execute("UPDATE headwater_events SET id = randomblob(16) WHERE position > 1")
        backup.executemany(
            "INSERT INTO headwater_events SELECT ?, stream_id, ?, randomblob(16), type, "
            "schema_version, data, occurred_at, recorded_at, correlation_id, causation_id, actor, "
            "tenant, traceparent, headers, tags, 0 FROM headwater_events WHERE position = 1",
            [(position, position) for position in range(4, 4 + more)],
        )
        backup.execute("UPDATE headwater_latest SET position = ?", (3 + more,))
    copy(tmp_path / "backup.db", storage.settings.path)
    await bench.book("d")

    await assert_stopped(bench, subscriptions, at=6)
    assert await bench.balance("d") == before


async def test_a_log_that_is_cut_short_behind_an_idle_subscription_stops_it(
    bench: Workbench,
    storage: SqliteStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "NEWS_SECONDS", 0.01)
    await book(bench, *"abc")
    copy(storage.settings.path, tmp_path / "backup.db")
    await book(bench, *"abc")
    subscriptions = await run(bench)
    await subscriptions.settle()

    copy(tmp_path / "backup.db", storage.settings.path)

    await assert_stopped(bench, subscriptions, at=6)
    assert bench.status("balances").checkpoints.count(0) < 4


async def test_a_new_subscription_that_begins_now_soon_knows_which_event_that_is_after(
    storage: SqliteStorage,
) -> None:
    bench = Workbench(storage)
    await book(bench, *"ab")
    subscriptions = await bench.start(bench.subscriber(Seen(), start=Start.end()))
    async with asyncio.timeout(20):
        while bench.status("mail").state is not SubscriptionState.LIVE:
            await storage.head()

    await subscriptions.stop()

    last = (await storage.read_log()).events[-1]
    assert await bench.checkpoints("mail") == [Checkpoint(2, last.id)] * 4


async def test_an_operators_reset_is_the_way_out(
    bench: Workbench, storage: SqliteStorage, elsewhere: SqliteStorage, tmp_path: Path
) -> None:
    await book(bench, *"abc")
    copy(storage.settings.path, tmp_path / "backup.db")
    await book(bench, *"abc")
    subscriptions = await run(bench)
    await subscriptions.settle()
    copy(tmp_path / "backup.db", storage.settings.path)
    await book(bench, *"ddddd")
    await assert_stopped(bench, subscriptions, at=6)
    with pytest.raises(LogRewoundError):
        await subscriptions.restart("balances")

    balances = bench.units.row_type(Balance)
    await elsewhere.reset_subscription("balances", to=Checkpoint(0), clear=(balances.name,))
    await subscriptions.restart("balances")
    await subscriptions.settle()

    found = [await bench.balance(account) for account in "abcd"]
    assert [row.bookings if row else None for row in found] == [1, 1, 1, 5]
    last = (await storage.read_log()).events[-1]
    await subscriptions.stop()
    assert await bench.checkpoints("balances") == [Checkpoint(8, last.id)] * 4


async def test_a_log_that_went_back_with_the_checkpoints_is_no_reset(
    storage: SqliteStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, gone, look = Workbench(storage), asyncio.Event(), storage.wait_for_news
    subscriptions = await bench.start(await bench.projection())
    await book(bench, *"abc")
    await subscriptions.settle()
    copy(storage.settings.path, tmp_path / "backup.db")

    async def wait_for_news(after: int, *, seconds: float) -> int:
        if after < 6:
            return await look(after, seconds=seconds)
        await gone.wait()
        raise StorageUnavailableError("a failover is under way")

    monkeypatch.setattr(storage, "wait_for_news", wait_for_news)
    await book(bench, *"abc")
    await subscriptions.wait_for("balances", 6)

    # The subscription hears of it only when both are as they were.
    copy(tmp_path / "backup.db", storage.settings.path)
    gone.set()

    await assert_stopped(bench, subscriptions, at=6)
    await bench.stop()
