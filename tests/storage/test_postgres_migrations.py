"""The schema is made and upgraded when told, once, and old and new code work side by side."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage, schema
from headwater.errors import (
    MigrationNeededError,
    SchemaVersionError,
)
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import (
    appending,
    changing,
    new_event,
    new_events,
    row,
    tombstone,
    writing,
)


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return PostgresSettings.from_url(url)


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def meta(
    sql: "asyncpg.Connection[asyncpg.Record]", settings: PostgresSettings, **values: int
) -> None:
    """Pretend that newer code has upgraded the schema."""
    for name, value in values.items():
        statement = f"UPDATE {settings.schema}.meta SET value = $1 WHERE name = $2"
        await sql.execute(statement, str(value), name)


async def test_a_schema_that_is_not_there_is_only_made_when_told(
    settings: PostgresSettings,
) -> None:
    assert (await schema.status(settings)).stored == 0
    with pytest.raises(MigrationNeededError, match="headwater db init postgresql://"):
        await PostgresStorage(settings).open()
    assert (await schema.status(settings)).stored == 0

    upgraded = await schema.upgrade(settings)

    assert (upgraded.stored, upgraded.pending) == (schema.CODE_VERSION, ())
    assert upgraded == await schema.status(settings)
    storage = PostgresStorage(settings)
    await storage.open()
    assert (await storage.commit(appending("order-1", new_event()))).position == 1
    await storage.close()


async def test_many_processes_that_upgrade_at_once_do_it_once(settings: PostgresSettings) -> None:
    upgraded = await asyncio.gather(*(schema.upgrade(settings) for _ in range(5)))

    assert {one.stored for one in upgraded} == {schema.CODE_VERSION}


async def test_many_storages_that_migrate_themselves_open_at_once(
    settings: PostgresSettings,
) -> None:
    storages = [PostgresStorage(replace(settings, auto_migrate=True)) for _ in range(4)]

    await asyncio.gather(*(storage.open() for storage in storages))

    assert [await storage.head() for storage in storages] == [0] * 4
    await asyncio.gather(*(storage.close() for storage in storages))


async def test_the_sql_that_is_shown_is_the_sql_that_is_run(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute(schema.sql(schema=settings.schema))

    found = await schema.upgrade(settings)

    assert found.stored == schema.CODE_VERSION
    storage = PostgresStorage(settings)
    await storage.open()
    await storage.commit(appending("order-1", new_event()))
    await storage.close()


@pytest.mark.parametrize("version", [-1, schema.CODE_VERSION + 1])
def test_there_is_no_sql_from_a_version_that_never_was(version: int) -> None:
    with pytest.raises(ValueError, match="a schema version is"):
        schema.sql(version)


async def test_an_older_schema_names_the_command_that_upgrades_it(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await schema.upgrade(settings)
    await meta(sql, settings, schema_version=schema.CODE_VERSION - 1)

    with pytest.raises(MigrationNeededError, match=r"headwater db (init|upgrade) postgresql://"):
        await PostgresStorage(settings).open()


async def test_code_goes_on_under_a_newer_schema_that_lets_it_write(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await schema.upgrade(settings)
    await meta(sql, settings, schema_version=schema.CODE_VERSION + 1)

    storage = PostgresStorage(settings)
    await storage.open()
    assert (await storage.commit(appending("order-1", new_event()))).position == 1
    await storage.close()


async def test_code_only_reads_under_a_newer_schema_that_does_not_let_it_write(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await schema.upgrade(settings)
    newer = schema.CODE_VERSION + 1
    await meta(sql, settings, schema_version=newer, min_writer=newer)

    storage = PostgresStorage(settings)
    await storage.open()
    with pytest.raises(SchemaVersionError, match="newer than this code can write"):
        await storage.commit(appending("order-1", new_event()))
    assert await storage.head() == 0
    await storage.close()


async def test_a_process_that_is_too_old_to_write_notices_that_at_its_next_commit(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema.upgrade(settings)
    storage = PostgresStorage(settings)
    await storage.open()
    await storage.prepare_collections([CollectionSpec("c", ("n",))])
    newer = schema.CODE_VERSION + 1
    migration = schema.Migration((), min_reader=1, min_writer=newer)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, migration))
        patched.setattr(schema, "CODE_VERSION", newer)
        await schema.upgrade(settings)

    changes = [appending("order-1", new_event()), appending("order-1", *new_events(2))]
    changes += [writing(row("c", "k")), changing(tombstone("order-1"))]
    for one in changes:
        with pytest.raises(SchemaVersionError, match="newer than this code can write"):
            await storage.commit(one)
    with pytest.raises(SchemaVersionError, match="newer than this code can write"):
        await storage.outbox.move()
    assert await storage.head() == 0
    await storage.close()


async def test_code_does_not_open_a_newer_schema_that_it_cannot_read(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await schema.upgrade(settings)
    newer = schema.CODE_VERSION + 1
    await meta(sql, settings, schema_version=newer, min_writer=newer, min_reader=newer)

    for attempt in (PostgresStorage(settings).open(), schema.upgrade(settings)):
        with pytest.raises(SchemaVersionError, match="Run the newer Headwater"):
            await attempt


@pytest.mark.parametrize(
    "table", ["users (id int)", "meta (name text, value text)", "meta (x int)"]
)
async def test_a_schema_of_somebody_else_is_left_alone(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]", table: str
) -> None:
    await sql.execute(f"CREATE SCHEMA {settings.schema}")
    await sql.execute(f"CREATE TABLE {settings.schema}.{table}")

    for attempt in (schema.status(settings), schema.upgrade(settings)):
        with pytest.raises(SchemaVersionError, match="that Headwater did not make"):
            await attempt

    made = "SELECT count(*) FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'"
    assert await sql.fetchval(made, settings.schema) == 1


async def test_an_empty_schema_is_used(
    settings: PostgresSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute(f"CREATE SCHEMA {settings.schema}")

    assert (await schema.upgrade(settings)).stored == schema.CODE_VERSION


async def test_two_storages_in_one_database_keep_apart(settings: PostgresSettings) -> None:
    both = [
        PostgresStorage(replace(settings, schema=f"{settings.schema}_{name}", auto_migrate=True))
        for name in "ab"
    ]
    for storage in both:
        await storage.open()

    await both[0].commit(appending("order-1", new_event()))

    assert [await storage.head() for storage in both] == [1, 0]
    for storage in both:
        await storage.close()
