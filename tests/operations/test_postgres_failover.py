"""A bank whose log loses its last events under it, in a failover or by a restored backup."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from headwater import App
from headwater.adapters.storage.postgres import PostgresStorage
from headwater.cli.program import run
from headwater.subscriptions.status import SubscriptionState
from tests.operations import bank
from tests.operations.bank import Deposit, Deposited, Sums
from tests.servers.postgres import PostgresServer, find_binaries
from tests.storage import conftest as servers

postgres_run_folder = servers.postgres_run_folder
new_postgres = servers.new_postgres

OPTIONS = "sslmode=disable&auto_migrate=true&patience_seconds=20"


@pytest.fixture(autouse=True)
def event_loop_guard() -> None:
    """Let a command write to the terminal where it stands: its event loop serves nobody else."""


class Failover:
    """A standby takes over that had not got the last commits."""

    def __init__(self, primary: PostgresServer, folder: Path) -> None:
        self._primary = primary
        self._standby = primary.standby(f"{primary.folder.name}-standby")
        self.servers = (primary, self._standby)

    async def keep(self) -> None:
        """See that what is there now will be there afterwards, and what comes later won't."""
        primary, standby = [await asyncpg.connect(one.url()) for one in self.servers]
        written = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        here = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        await comes_true(lambda: standby.fetchval(here, written))
        await standby.execute("ALTER SYSTEM SET primary_conninfo TO ''")
        await standby.execute("SELECT pg_reload_conf()")
        await comes_true(
            lambda: standby.fetchval("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
        )
        await standby.close()
        await primary.close()

    def happen(self) -> None:
        """Lose what came since."""
        self._primary.stop("immediate")
        self._standby.promote()


class Restore:
    """A dump is restored while everything runs."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.servers = (server,)
        self._url, self._dump = server.url(), str(folder / "bank.dump")

    async def keep(self) -> None:
        """Take the backup."""
        await asyncio.to_thread(program, "pg_dump", "-Fc", f"--file={self._dump}", self._url)

    def happen(self) -> None:
        """Restore it, in one step."""
        options = ("--clean", "--if-exists", "--single-transaction")
        program("pg_restore", *options, f"--dbname={self._url}", self._dump)


def program(name: str, *arguments: str) -> None:
    binaries = find_binaries()
    assert binaries is not None
    subprocess.run([binaries / name, *arguments], check=True)


async def comes_true(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - a server is waited for
            await asyncio.sleep(0.01)


async def deposit(app: App, account: str, *, times: int = 1) -> int:
    """Deposit a cent *times* times; return what the account has then."""
    return [await app.send(Deposit(account, 1)) for _ in range(times)][-1]


async def have_failed(app: App) -> None:
    """Return once both subscriptions say that the log is another."""

    async def failed() -> bool:
        return all(one.state is SubscriptionState.FAILED for one in app.status())

    await comes_true(failed)
    assert len(app.status()) == 2
    for one in app.status():
        assert "LogRewoundError" in (one.error or "")


async def recover(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any]:
    """Run ``headwater db recover``; return its exit code and what it shows."""
    command = ("--json", "db", "recover", "--app", "tests.operations.bank:app", *options)
    capsys.readouterr()
    code = await asyncio.to_thread(run, command)
    return code, json.loads(capsys.readouterr().out.splitlines()[0])


async def assert_as_replayed(app: App) -> None:
    """Assert that what the projections hold is what the log says."""
    await app.settle()
    replayed: dict[str, int] = {}
    async for recorded in app.event_store.read_all():
        event = recorded.payload
        assert isinstance(event, Deposited)
        replayed[event.account] = replayed.get(event.account, 0) + event.cents
    assert await app.send(Sums()) == (replayed, replayed, replayed)


@pytest.mark.parametrize("disaster", [Failover, Restore])
async def test_a_log_that_lost_its_last_events_is_noticed_and_everything_is_brought_back_to_it(
    new_postgres: Callable[..., PostgresServer],
    disaster: type[Failover | Restore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    happening = await asyncio.to_thread(lambda: disaster(new_postgres(), tmp_path))
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in happening.servers)
    monkeypatch.setenv(bank.LOG, f"postgresql://postgres@{hosts}/postgres?{OPTIONS}")
    monkeypatch.setenv(bank.REPORTS, f"sqlite:///{tmp_path}/reports.db")

    async with bank.app() as app:
        assert isinstance(app.storage, PostgresStorage)
        await deposit(app, "kept", times=3)
        await deposit(app, "more", times=2)
        await app.settle()
        await happening.keep()
        await deposit(app, "kept", times=2)
        await deposit(app, "lost", times=2)
        await app.settle()
        assert await deposit(app, "kept") == 6

        await asyncio.to_thread(happening.happen)

        # Neither the cache nor a row is believed more than the log.
        assert await deposit(app, "kept") == 4
        assert await deposit(app, "lost") == 1
        await have_failed(app)

    code, shown = await recover(capsys)
    assert code == 1
    assert [one["subscription"] for one in shown["subscriptions"]] == ["bank.balances"]
    code, _ = await recover(capsys, "--reset", "--yes")
    assert code == 0
    assert (await recover(capsys))[0] == 0
    async with bank.app() as app:
        assert await deposit(app, "kept") == 5
        await assert_as_replayed(app)
