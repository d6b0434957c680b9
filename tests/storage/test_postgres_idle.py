"""An idle subscription notices what another process commits, in each way that it can."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.subscriptions import reader
from tests.subscriptions.workbench import Workbench

NEVER = 3600.0


@pytest.fixture(autouse=True)
def wait_for_news_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep subscriptions from looking by themselves, so that they depend on being woken."""
    monkeypatch.setattr(reader, "NEWS_SECONDS", NEVER)


@pytest.fixture
async def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}&moves_outbox=false"
    settings = replace(PostgresSettings.from_url(url), application_name=postgres_schema)
    await upgrade(settings)
    return settings


@asynccontextmanager
async def bench_on(settings: PostgresSettings) -> AsyncGenerator[Workbench, None]:
    """A storage as a process of its own would have it."""
    storage = PostgresStorage(settings)
    await storage.open()
    bench = Workbench(storage)
    yield bench
    await bench.stop()
    await storage.close()


async def listeners(sql: Connection, settings: PostgresSettings) -> list[int]:
    """Return the server's processes that listen for the storage, once there are any."""
    while True:
        rows = await sql.fetch(
            "SELECT pid FROM pg_stat_activity "
            "WHERE application_name = $1 AND query ILIKE 'LISTEN%' AND state = 'idle'",
            settings.application_name,
        )
        if rows:
            return [pid for (pid,) in rows]
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", ["listen", "poll", "cut off"])
async def test_what_another_process_commits_reaches_an_idle_subscription(
    settings: PostgresSettings, postgres_url: str, way: str
) -> None:
    heard = replace(settings, poll_seconds=NEVER)
    polled = replace(settings, wake_ups="poll", poll_seconds=0.02)
    sql = await asyncpg.connect(postgres_url)
    async with bench_on(polled if way == "poll" else heard) as here, bench_on(settings) as there:
        subscriptions = await here.start(await here.projection())
        await subscriptions.settle()
        for number in range(3):
            if way != "poll":
                for pid in await listeners(sql, settings):
                    if way == "cut off":
                        await sql.execute("SELECT pg_terminate_backend($1)", pid)

            position = await there.book("a")

            async with asyncio.timeout(10):
                await subscriptions.wait_for("balances", position)
            balance = await here.balance("a")
            assert balance is not None
            assert balance.bookings == number + 1
    await sql.close()
