"""``db init``, ``status``, ``upgrade`` and ``sql``, and how the storages are named."""

import asyncio
import sqlite3
from contextlib import closing

import asyncpg
import pytest

from tests.cli.conftest import Shop
from tests.storage import conftest as servers

postgres = servers.postgres
postgres_run_folder = servers.postgres_run_folder
postgres_schema = servers.postgres_schema
postgres_url = servers.postgres_url


def test_the_tables_of_a_file_are_made_and_looked_at(shop: Shop) -> None:
    missing = shop.run("--json", "db", "status", "sqlite:///new.db")
    made = shop.run("--json", "db", "init", "sqlite:///new.db")
    there = shop.run("--json", "db", "status", "--storage", "sqlite:///new.db")

    assert (missing.code, missing.object["stored"]) == (1, 0)
    assert made.object["before"] == 0
    assert (there.code, there.object["stored"]) == (0, made.object["now"])


def test_a_status_makes_no_file(shop: Shop) -> None:
    shop.run("db", "status", "sqlite:///new.db")

    assert not (shop.folder / "new.db").exists()


def test_postgres_is_made_looked_at_and_upgraded(
    shop: Shop,
    postgres_url: str,
    postgres_schema: str,
) -> None:
    url = f"{postgres_url}?schema={postgres_schema}"

    too_early = shop.run("stream", "list", "-s", url)
    missing = shop.run("--json", "db", "status", url)
    made = shop.run("--json", "db", "init", url)
    again = shop.run("--json", "db", "upgrade", url)
    there = shop.run("--json", "db", "status", url)

    assert (too_early.code, "headwater db init" in too_early.err) == (3, True)
    assert (missing.code, missing.object["stored"]) == (1, 0)
    assert made.object["now"] == again.object["before"] == again.object["now"]
    assert (there.code, there.object["pending"]) == (0, [])


def test_a_table_that_was_dropped_is_told_and_not_called_an_old_version(
    shop: Shop, postgres_url: str, postgres_schema: str
) -> None:
    url = f"{postgres_url}?schema={postgres_schema}"
    shop.run("db", "init", url)
    asyncio.run(execute(postgres_url, f"DROP TABLE {postgres_schema}.outbox_rejected"))

    status = shop.run("--json", "db", "status", url)
    upgrade = shop.run("db", "upgrade", url)
    used = shop.run("stream", "list", url)

    assert (status.code, status.object["readable"]) == (1, False)
    assert status.object["missing"] == ["outbox_rejected", "outbox_rejected_by_seq"]
    assert (upgrade.code, used.code) == (3, 3)
    assert "It lacks outbox_rejected" in upgrade.err
    assert "db upgrade" not in upgrade.err + used.err


def test_a_table_of_a_file_that_was_dropped_is_told(shop: Shop) -> None:
    with closing(sqlite3.connect("log.db")) as connection:
        connection.execute("DROP TABLE headwater_receipts")

    status = shop.run("--json", "db", "status", shop.url)

    assert status.code == 1
    assert "headwater_receipts" in status.object["missing"]
    assert not status.object["writable"]


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def test_a_log_goes_from_sqlite_to_postgres(
    shop: Shop,
    postgres_url: str,
    postgres_schema: str,
) -> None:
    url = f"{postgres_url}?schema={postgres_schema}"
    shop.run("db", "init", url)
    shop.on_log("stream", "export", "log.jsonl")

    ran = shop.run("--json", "stream", "import", "log.jsonl", "-s", url)

    copy = shop.run("--json", "stream", "tail", "-s", url)
    assert (ran.code, ran.object["events"]) == (0, 5)
    assert copy.rows == shop.on_log("stream", "tail").rows


@pytest.mark.parametrize("command", ["init", "status", "upgrade"])
def test_a_storage_without_tables_is_a_wrong_call(shop: Shop, command: str) -> None:
    assert shop.run("db", command, "memory://").code == 2
    assert shop.run("db", command, "nosuch://x").code == 2


def test_the_sql_of_an_upgrade_is_printed(shop: Shop) -> None:
    ran = shop.run("db", "sql", "--schema", "sales")

    assert ran.out.startswith("BEGIN;")
    assert 'CREATE TABLE "sales".events' in ran.out
    assert shop.run("db", "sql", "--from", "999").code == 2
