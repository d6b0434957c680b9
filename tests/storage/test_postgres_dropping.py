"""Collections and subscriptions on PostgreSQL that somebody drops or cuts anew under others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import CheckpointConflictError, ConfigurationError
from headwater.ports.changes import Changes, CheckpointMove, Committed, RowGuard
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, RowQuery
from headwater.testing.conformance.builders import (
    appending,
    commit_all,
    deletion,
    new_event,
    row,
    writing,
)

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PLAIN: Final = CollectionSpec("c", ("n",))
INDEXED: Final = CollectionSpec("c", ("n",), (IndexedField("n", IndexKind.TEXT),))


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@pytest.fixture
async def storage(settings: PostgresSettings) -> AsyncIterator[PostgresStorage]:
    async with opened(settings) as storage:
        yield storage


@pytest.fixture
async def other(
    settings: PostgresSettings, storage: PostgresStorage
) -> AsyncIterator[PostgresStorage]:
    """A storage as another process would have it."""
    async with opened(settings) as other:
        yield other


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Sql]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def opened(settings: PostgresSettings) -> AsyncGenerator[PostgresStorage, None]:
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


async def check_refused(storage: PostgresStorage, *changes: Changes) -> None:
    """Check that nothing can be done with the rows of a collection that is not there any more."""
    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await storage.get_rows("c", ["k"])
    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await storage.find_rows("c", RowQuery())
    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await storage.count_rows("c")
    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await storage.reset_subscription("totals", to=Checkpoint(0), clear=["c"])
    for each in changes:
        with pytest.raises(ConfigurationError, match="'c' was dropped"):
            await storage.commit(each)


async def test_a_collection_that_was_dropped_is_refused_to_those_who_still_use_it(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    for one in (storage, other):
        await one.prepare_collections([PLAIN])
    await other.commit(writing(row("c", "k")))
    await other.open_subscription("totals", partitions=1, start_after=0)

    await storage.drop_collection("c")

    uses = [
        writing(row("c", "k", expected=0)),
        writing(deletion("c", "k")),
        Changes(guards=(RowGuard("c", "k", 0),)),
        writing(row("c", "k"), row("c", "k")),
    ]
    await check_refused(other, *uses)
    with pytest.raises(ConfigurationError, match="'c' was not prepared"):
        await storage.commit(writing(row("c", "k")))


async def test_commits_that_share_a_group_with_one_to_a_dropped_collection_are_done(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    await other.prepare_collections([PLAIN, CollectionSpec("d", ("n",))])
    await storage.drop_collection("c")

    outcomes = await commit_all(
        other,
        [
            writing(row("d", "1")),
            replace(appending("order-1", new_event()), rows=(row("c", "k"),)),
            appending("order-2", new_event()),
            writing(row("d", "1")),
        ],
    )

    assert [type(one) for one in outcomes] == [Committed, ConfigurationError, Committed, Committed]
    assert [event.stream_id for event in (await other.read_log()).events] == ["order-2"]


async def test_a_collection_that_was_made_anew_without_a_field_is_refused_until_it_is_prepared(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    await other.prepare_collections([INDEXED])
    await other.commit(writing(row("c", "k", "1")))
    await storage.drop_collection("c")
    await storage.prepare_collections([PLAIN])

    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await other.commit(writing(row("c", "k", "1")))
    with pytest.raises(ConfigurationError, match="'c' was dropped"):
        await other.find_rows("c", RowQuery(order_by=(("n", False),)))

    await other.prepare_collections([INDEXED])
    assert await other.count_rows("c") == 0
    await other.commit(writing(row("c", "k", "1", expected=0)))
    await storage.commit(writing(row("c", "l")))
    assert await other.count_rows("c") == 2


async def test_who_wants_to_drop_what_is_in_use_waits_for_it(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    for one in (storage, other):
        await one.prepare_collections([PLAIN])

    outcomes = await asyncio.gather(
        *(other.commit(writing(row("c", f"{n % 3}"))) for n in range(40)),
        storage.drop_collection("c"),
        *(other.commit(writing(row("c", f"{n % 3}"))) for n in range(40)),
        return_exceptions=True,
    )

    kinds = {type(one) for one in outcomes}
    assert kinds <= {Committed, ConfigurationError, type(None)}
    assert list(await storage.collections()) == []


async def test_what_depends_on_a_collection_keeps_it_from_being_dropped(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    await storage.prepare_collections([PLAIN])
    await storage.commit(writing(row("c", "k")))
    await sql.execute(f"CREATE VIEW {settings.schema}.mine AS SELECT * FROM {settings.schema}.c")

    with pytest.raises(ConfigurationError, match="depends on"):
        await storage.drop_collection("c")

    assert await storage.count_rows("c") == 1


async def test_a_role_that_may_not_drop_a_collection_is_told_what_its_owner_can_run(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    schema, role = settings.schema, f"r_{settings.schema}"
    await storage.prepare_collections([PLAIN])
    await sql.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}; "
        f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}; "
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
    )
    async with opened(replace(settings, user=role, auto_migrate=False)) as theirs:
        with pytest.raises(ConfigurationError, match="Let its owner run") as caught:
            await theirs.drop_collection("c")
        assert list(await theirs.collections()) == [PLAIN]

    script = str(caught.value).partition("Let its owner run:\n")[2]
    await sql.execute(script)
    assert list(await storage.collections()) == []
    await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_nothing_is_left_of_what_was_dropped(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    found = (
        "SELECT relname FROM pg_class WHERE relnamespace = $1::text::regnamespace ORDER BY relname"
    )
    before = await sql.fetch(found, settings.schema)
    await storage.prepare_collections([INDEXED, CollectionSpec("lease_workers", ("n",))])
    await storage.open_subscription("totals", partitions=3, start_after=0)
    await storage.lease_partitions("a", ["totals"], seconds=60)

    for name in ("c", "lease_workers", "unknown", "it's"):
        await storage.drop_collection(name)
    for name in ("totals", "unknown"):
        await storage.drop_subscription(name)

    assert await sql.fetch(found, settings.schema) == before
    for table in ("lease_workers", "checkpoints", "collections"):
        assert await sql.fetchval(f"SELECT count(*) FROM {settings.schema}.{table}") == 0


async def test_who_repartitions_at_once_does_so_one_after_the_other(
    storage: PostgresStorage, other: PostgresStorage
) -> None:
    await storage.open_subscription("totals", partitions=3, start_after=5)

    async def change(one: PostgresStorage, *numbers: int) -> None:
        for partitions in numbers:
            await one.repartition("totals", partitions=partitions)

    await asyncio.gather(change(storage, 7, 2, 9, 4), change(other, 1, 8, 3, 6))

    states = await storage.partition_states("totals")
    assert [state.partition for state in states] == list(range(len(states)))
    assert len(states) in (4, 6)
    assert {state.checkpoint.position for state in states} == {5}


async def test_a_commit_that_waits_for_a_partition_that_goes_is_refused(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    await storage.open_subscription("totals", partitions=2, start_after=0)
    await sql.execute("BEGIN")
    await sql.execute(f"DELETE FROM {settings.schema}.checkpoints WHERE partition = 1")
    move = CheckpointMove("totals", 1, 0, 1)
    committing = asyncio.create_task(storage.commit(Changes(checkpoints=(move,))))
    found = (
        "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1 LIMIT 1"
    )
    while not await sql.fetchval(found, f"%{settings.schema}%commit_v1%"):
        await asyncio.sleep(0.01)
        await sql.execute("SELECT pg_stat_clear_snapshot()")

    await sql.execute("COMMIT")

    with pytest.raises(CheckpointConflictError, match="found -1"):
        await committing
