"""A PostgreSQL database that was restored from its dump, and what is ahead of it then."""

import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.operations.recovering import Consumer, examine, recover
from headwater.operations.verifying import verify_log
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import new_events
from tests.operations.logs import appended
from tests.servers.postgres import find_binaries
from tests.storage import conftest as servers

postgres = servers.postgres
postgres_database = servers.postgres_database
postgres_run_folder = servers.postgres_run_folder

CONSUMERS = {"shop.summaries": Consumer("summaries")}


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[PostgresStorage]:
    """Open the storage in a database, with its tables made if need be."""
    storage = PostgresStorage(PostgresSettings.from_url(f"{url}?auto_migrate=true"))
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


def run(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's."""
    binaries = find_binaries()
    assert binaries is not None
    subprocess.run([binaries / program, *arguments], check=True)


def drop_schema(url: str) -> None:
    """Lose everything."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA headwater CASCADE")


async def test_what_is_ahead_of_a_restored_dump_is_found_and_brought_back(
    postgres_database: str, storage: MemoryStorage, tmp_path: Path
) -> None:
    reports, dump = storage, str(tmp_path / "shop.dump")
    await reports.prepare_collections([CollectionSpec("summaries", ("key",))])
    await reports.open_subscription("shop.summaries", partitions=1, start_after=0)
    async with opened(postgres_database) as log:
        await appended(log, "order-1", *new_events(3))
        run("pg_dump", "--format=custom", "--schema=headwater", f"--file={dump}", postgres_database)
        await appended(log, "order-1", *new_events(2))
        page = await log.read_log(after=0)
        move = CheckpointMove("shop.summaries", 0, 0, page.scanned_to, page.event_id)
        await reports.commit(Changes(checkpoints=(move,)))

    drop_schema(postgres_database)
    run("pg_restore", f"--dbname={postgres_database}", dump)
    async with opened(postgres_database) as log:
        await appended(log, "order-2", *new_events(4))
        recovery = await examine(log, reports, consumers=CONSUMERS)
        await recover(log, reports, recovery)

        assert [(one.furthest, one.ahead) for one in recovery.strays] == [(5, False)]
        assert not (await examine(log, reports, consumers=CONSUMERS)).needed
        assert (await verify_log(log)).counts == {}
        assert await log.head() == 7
