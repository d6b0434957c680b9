"""PostgreSQL shared with others: old snapshots, stalled processes, names that are taken."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.arrays import batch_arrays
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.connections import close, connect
from headwater.adapters.storage.postgres.row_statements import RowStatements
from headwater.adapters.storage.postgres.transactions import writing as transaction
from headwater.errors import StorageBusyError
from headwater.ports.changes import Changes, RowGuard
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import (
    appending,
    changing,
    commit_all,
    deletion,
    new_event,
    new_events,
    row,
    tombstone,
    writing,
)

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
STAGE = (
    "INSERT INTO {schema}.outbox (seq, stream_id, id, type, schema_version, data, occurred_at) "
    "OVERRIDING SYSTEM VALUE VALUES ($1, $2, gen_random_uuid(), $3, 1, '{{}}', 0)"
)


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@pytest.fixture
async def storage(settings: PostgresSettings) -> AsyncIterator[PostgresStorage]:
    async with opened(settings) as storage:
        yield storage


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Sql]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def opened(settings: PostgresSettings) -> AsyncGenerator[PostgresStorage, None]:
    """A storage as a process of its own would have it."""
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


# ----------------------------------------------------------------------------------- the head


async def test_commits_leave_no_dead_rows_that_the_next_one_would_have_to_pass(
    storage: PostgresStorage, sql: Sql
) -> None:
    table = f"{storage.settings.schema}.head"
    place = await sql.fetchval(f"SELECT ctid::text FROM {table}")
    await storage.commit(appending("order-1", new_event()))
    await commit_all(storage, (appending(f"order-{n}", *new_events(2)) for n in range(3)))
    await storage.prepare_collections([CollectionSpec("c", ("n",))])
    await storage.commit(replace(appending("order-1", new_event()), rows=(row("c", "k"),)))

    assert await storage.head() == 8
    assert await sql.fetchval(f"SELECT ctid::text FROM {table}") == place


async def test_the_head_stays_where_it_was_when_the_last_events_are_erased(
    storage: PostgresStorage,
) -> None:
    await storage.commit(appending("order-1", *new_events(2)))
    await storage.commit(
        replace(appending("order-2", new_event()), streams=(tombstone("order-1"),))
    )
    await storage.commit(changing(tombstone("order-2")))

    assert await storage.head() == 3
    assert (await storage.commit(appending("order-3", new_event()))).position == 4


# -------------------------------------------------------------------------- stalled processes


async def test_a_process_that_stalls_before_its_commit_soon_holds_nobody_up(
    settings: PostgresSettings,
) -> None:
    settings = replace(settings, lock_seconds=2.0)
    async with opened(settings) as storage:
        stalled = await connect(settings)
        await stalled.execute("BEGIN")
        await stalled.fetch(
            f"SELECT {settings.schema}.append_one_v1(2000, 'order-1', -1, gen_random_uuid(), "
            f"'a.b', 1, '{{}}', 0, NULL, NULL, NULL, NULL, NULL, NULL)"
        )

        done = await storage.commit(appending("order-1", new_event()))

        assert (done.position, done.appends[0].version) == (1, 1)
        await close(stalled)


async def test_a_transaction_of_an_operator_waits_no_longer_than_a_commit_does(
    settings: PostgresSettings, sql: Sql
) -> None:
    settings = replace(settings, lock_seconds=0.1)
    async with opened(settings) as storage:
        await storage.open_subscription("s", partitions=1, start_after=0)
        async with sql.transaction():
            await sql.execute(f"SELECT FROM {settings.schema}.checkpoints FOR UPDATE")
            with pytest.raises(StorageBusyError):
                await storage.reset_subscription("s", to=Checkpoint(1))


async def test_the_rows_that_a_reset_clears_may_take_longer_than_a_command(
    settings: PostgresSettings, sql: Sql
) -> None:
    async with opened(replace(settings, command_seconds=0.3)) as storage:
        await storage.prepare_collections([CollectionSpec("totals", ("n",))])
        await storage.open_subscription("s", partitions=1, start_after=0)
        await storage.commit(writing(row("totals", "1")))
        await sql.execute(
            f"CREATE FUNCTION {settings.schema}.slow() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_sleep(1); RETURN OLD; END'; "
            f"CREATE TRIGGER slow BEFORE DELETE ON {settings.schema}.rows_totals "
            f"FOR EACH ROW EXECUTE FUNCTION {settings.schema}.slow()"
        )

        assert await storage.reset_subscription("s", to=Checkpoint(0), clear=["totals"]) == 1


async def test_the_transaction_of_an_operator_is_ended_where_it_stalls(
    settings: PostgresSettings, storage: PostgresStorage
) -> None:
    connection = await connect(settings)
    async with transaction(connection, settings.quoted_schema, lock_seconds=6):
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "3s"
        assert await connection.fetchval("SHOW lock_timeout") == "6s"
    await close(connection)


async def test_a_commit_is_durable_whatever_the_session_says(
    settings: PostgresSettings, storage: PostgresStorage
) -> None:
    connection = await connect(settings)
    for given, used in (("off", "on"), ("remote_apply", "remote_apply")):
        await connection.execute(f"SET synchronous_commit = {given}")
        async with connection.transaction():
            await connection.fetch(f"SELECT {settings.schema}.move_outbox_v1(1, 1, 1, 1000)")
            assert await connection.fetchval("SHOW synchronous_commit") == used
    await close(connection)


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["order", "user", "select"])
async def test_a_schema_may_have_the_name_of_a_word_of_sql(
    postgres_database: str, name: str
) -> None:
    settings = PostgresSettings.from_url(f"{postgres_database}?schema={name}&auto_migrate=true")
    async with opened(settings) as storage:
        await storage.prepare_collections([CollectionSpec("c", ("n",))])
        await storage.commit(replace(appending("order-1", new_event()), rows=(row("c", "k"),)))
        seen = await storage.wait_for_news(0, seconds=5)
        await storage.outbox.wait_until_moved()

        assert (seen, await storage.count_rows("c")) == (1, 1)


async def test_functions_of_somebody_elses_take_no_part_in_a_commit(
    postgres_database: str,
) -> None:
    settings = PostgresSettings.from_url(f"{postgres_database}?auto_migrate=true")
    somebody = await asyncpg.connect(postgres_database)
    await somebody.execute(
        "CREATE FUNCTION public.cardinality(uuid[]) RETURNS int LANGUAGE sql IMMUTABLE AS "
        "'SELECT 0'"
    )
    await somebody.close()
    async with opened(settings) as storage:
        await storage.commit(appending("order-1", *new_events(2)))
        await storage.commit(replace(appending("order-1", *new_events(2)), deadline=2**60))

        assert await storage.head() == len(await storage.read_stream("order-1")) == 4


# ------------------------------------------------------------------------------------- locks


@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        (writing(row("c", "a", expected=3), deletion("c", "b", expected=4)), False),
        (writing(row("c", "a", expected=0)), True),
        (writing(row("c", "a")), True),
        (writing(deletion("c", "a")), True),
        (Changes(guards=(RowGuard("c", "a", 1),)), False),
        (Changes(guards=(RowGuard("c", "a", 0),)), True),
    ],
)
def test_who_may_write_a_row_that_is_not_there_is_alone_in_its_collection(
    changes: Changes,
    alone: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    statements = {"c": RowStatements(Collection(CollectionSpec("c", ("n",)), "s"))}

    ((*_, (of_collection,)),) = [batch_arrays([changes], statements)]

    assert of_collection[:2] == ("c", alone)


async def test_processes_that_make_and_delete_the_same_rows_never_deadlock(
    postgres_database: str,
) -> None:
    settings = replace(PostgresSettings.from_url(postgres_database), auto_migrate=True)
    keys = [f"{n}" for n in range(6)]
    async with opened(settings) as one, opened(settings) as other:
        await one.prepare_collections([CollectionSpec("c", ("n",))])
        await other.prepare_collections([CollectionSpec("c", ("n",))])

        async def work(storage: PostgresStorage, random: Random) -> None:
            for _ in range(100):
                some = random.sample(keys, 4)
                rows = [row("c", k) if random.random() < 0.5 else deletion("c", k) for k in some]
                await storage.commit(writing(*rows))

        await asyncio.gather(work(one, Random(1)), work(other, Random(2)))

    sql = await asyncpg.connect(postgres_database)
    found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await sql.fetchval(found) == 0
    await sql.close()


async def test_two_that_prune_do_not_wait_for_each_other(
    storage: PostgresStorage, sql: Sql
) -> None:
    await commit_all(storage, (appending(f"o-{n}", new_event(tags=("t",))) for n in range(2)))
    for n in range(2):
        await storage.commit(changing(tombstone(f"o-{n}")))
    async with sql.transaction():
        erased = f"{storage.settings.schema}.erased_events"
        await sql.execute(f"SELECT FROM {erased} WHERE position = 1 FOR UPDATE")
        pruned = await storage.prune(before=2**60)

    assert pruned.erased_ids == 1


# ------------------------------------------------------------------------------- the outbox


async def test_the_mover_waits_for_a_locked_row_without_the_logs_lock(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql, postgres_url: str
) -> None:
    await sql.execute(STAGE.format(schema=settings.schema), 1, "s-1", "a.b")
    holder = await asyncpg.connect(postgres_url)
    await holder.execute("BEGIN")
    await holder.execute(f"UPDATE {settings.schema}.outbox SET actor = 'ada'")
    moving = asyncio.create_task(storage.outbox.move())
    waiting = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    moves = f"%{settings.schema}%move_outbox%"
    while not await sql.fetchval(waiting, moves):  # noqa: ASYNC110 - a server is waited for
        await asyncio.sleep(0.01)

    await asyncio.wait_for(storage.commit(appending("order-1", new_event())), 5)

    await holder.execute("COMMIT")
    assert (await moving).moved == 1
    await holder.close()


async def test_a_number_that_was_put_aside_may_come_again(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    for _ in range(3):
        await sql.execute(STAGE.format(schema=settings.schema), 1, "s-1", "bad")
        assert (await storage.outbox.move()).rejected == 1

    assert [one.seq for one in await storage.outbox.rejected(limit=1)] == [1, 1, 1]
    assert await storage.outbox.redrive([1]) == 3
