"""Leases on PostgreSQL: what is compared under which lock, who waits for whom, lost answers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import LeaseLostError, SchemaVersionError
from headwater.ports.changes import Changes, CheckpointMove, Committed
from headwater.ports.leases import Checkpoint, Share
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import append, commit_all, new_event, row, writing
from tests.servers.postgres import PostgresServer

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SECONDS = 600.0


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@pytest.fixture
async def storage(settings: PostgresSettings) -> AsyncIterator[PostgresStorage]:
    async with opened(settings) as storage:
        await storage.open_subscription("totals", partitions=4, start_after=0)
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


async def lease(storage: PostgresStorage, worker: str, *, seconds: float = SECONDS) -> Share:
    shares = await storage.lease_partitions(worker, ["totals"], seconds=seconds)
    return shares["totals"]


def held(share: Share) -> list[int]:
    return [one.partition for one in share.leases]


def moving(share: Share, place: int, *, to: int = 1) -> Changes:
    """Return changes that move the partition at *place* of a share, and append an event."""
    one = share.leases[place]
    stands = one.checkpoint.position
    move = CheckpointMove("totals", one.partition, stands, to, None, one.token)
    return Changes(appends=(append(f"order-{one.partition}", new_event()),), checkpoints=(move,))


async def run_out(sql: Sql, settings: PostgresSettings, worker: str) -> None:
    """Have all leases of *worker* run out."""
    workers = f"{settings.schema}.lease_workers"
    await sql.execute(f"UPDATE {workers} SET expires_at = 1 WHERE worker = $1", worker)


async def waits(sql: Sql, settings: PostgresSettings, call: str) -> None:
    """Return once a statement with *call* in it waits for a lock."""
    found = (
        "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND query LIKE $1 AND query LIKE $2 LIMIT 1"
    )
    while not await sql.fetchval(found, f"%{settings.schema}%", f"%{call}%"):
        await asyncio.sleep(0.01)
        # Within a transaction the server would show the same again.
        await sql.execute("SELECT pg_stat_clear_snapshot()")


@asynccontextmanager
async def log_locked(postgres_url: str, settings: PostgresSettings) -> AsyncGenerator[None, None]:
    """Hold the lock of the log, as one who appends for long."""
    holder = await asyncpg.connect(postgres_url)
    await holder.execute("BEGIN")
    await holder.execute(
        "SELECT pg_advisory_xact_lock(1212438354, $1::text::regnamespace::oid::integer)",
        settings.schema,
    )
    yield
    await holder.close()


# ------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("together", [True, False])
async def test_a_token_is_compared_when_the_row_is_locked_and_not_before(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql, *, together: bool
) -> None:
    late = await lease(storage, "a")
    # A member that touches what one before it has touched is committed by the other function.
    members = [moving(late, 0)] if together else [moving(late, 1), moving(late, 1, to=2)]
    checkpoints = f"{settings.schema}.checkpoints"
    await sql.execute("BEGIN")
    await sql.execute(f"UPDATE {checkpoints} SET worker = 'b', token = token + 1000")

    committing = asyncio.create_task(commit_all(storage, members))
    await waits(sql, settings, "commit_")
    await sql.execute("COMMIT")

    assert {type(one) for one in await committing} == {LeaseLostError}
    assert await storage.head() == 0


async def test_who_was_frozen_past_its_lease_is_refused_when_its_commit_arrives(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    frozen = await lease(storage, "a", seconds=0.001)
    async with opened(settings) as other:
        took = await lease(other, "b")
        while len(took.leases) < 4:
            took = await lease(other, "b")
        await other.commit(moving(took, 0))

        with pytest.raises(LeaseLostError):
            await storage.commit(moving(frozen, 0, to=9))

    states = await storage.partition_states("totals")
    assert [state.checkpoint.position for state in states] == [1, 0, 0, 0]
    assert await storage.head() == 1


async def test_members_of_one_group_are_refused_each_for_its_own_token(
    storage: PostgresStorage,
) -> None:
    mine = await lease(storage, "a")
    await storage.release_partitions("a", "totals", [1, 3])
    guard = moving(mine, 0, to=0)

    outcomes = await commit_all(storage, [guard, *(moving(mine, place) for place in range(4))])

    expected = [Committed, Committed, LeaseLostError, Committed, LeaseLostError]
    assert [type(one) for one in outcomes] == expected
    assert [one.partition for one in outcomes if isinstance(one, LeaseLostError)] == [1, 3]


async def test_a_commit_whose_answer_was_lost_is_not_refused_for_a_lease_that_was_lost_since(
    settings: PostgresSettings,
    storage: PostgresStorage,
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = await lease(storage, "a")
    workers: Any = vars(storage)["_open"]
    send: Callable[..., Awaitable[Any]] = workers.writer.connection._send

    async def send_and_lose(*arguments: Any) -> Any:
        monkeypatch.undo()
        await send(*arguments)
        await run_out(sql, settings, "a")
        await lease(storage, "b")
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    monkeypatch.setattr(workers.writer.connection, "_send", send_and_lose)

    assert (await storage.commit(moving(mine, 0))).position == 1
    with pytest.raises(LeaseLostError):
        await storage.commit(moving(mine, 1))


# -------------------------------------------------------------------------- who waits for whom


async def test_leases_are_extended_and_dealt_while_commits_wait_for_the_log(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql, postgres_url: str
) -> None:
    mine = await lease(storage, "a")
    async with opened(settings) as other, log_locked(postgres_url, settings):
        committing = asyncio.create_task(storage.commit(moving(mine, 0)))
        await waits(sql, settings, "commit_")

        again = await lease(storage, "a")
        await run_out(sql, settings, "a")
        took = await lease(other, "b")

    await committing
    assert again.leases == mine.leases
    # The row that the commit holds was passed over: its worker could still commit under it.
    assert held(took) == [1, 2, 3]
    last = await lease(storage, "b")
    assert held(last) == [0, 1, 2, 3]
    assert last.leases[0].checkpoint.position == 1


async def test_a_release_lets_commits_that_are_under_way_be_done_and_others_extend_meanwhile(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql, postgres_url: str
) -> None:
    mine = await lease(storage, "a")
    async with opened(settings) as other:
        async with log_locked(postgres_url, settings):
            committing = asyncio.create_task(storage.commit(moving(mine, 0)))
            await waits(sql, settings, "commit_")
            releasing = asyncio.create_task(other.release_partitions("a", "totals"))
            await waits(sql, settings, "release_")

            assert (await lease(other, "b")).workers == 2

        await asyncio.gather(committing, releasing)
        with pytest.raises(LeaseLostError):
            await storage.commit(moving(mine, 1))
        assert held(await lease(other, "b")) == [0, 1, 2, 3]


async def test_a_long_reset_holds_up_nobody_who_extends_leases(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    await storage.prepare_collections([CollectionSpec("c", ("n",))])
    await storage.commit(writing(row("c", "k")))
    await storage.open_subscription("mail", partitions=1, start_after=0)
    await storage.lease_partitions("a", ["mail", "totals"], seconds=SECONDS)
    await sql.execute("BEGIN")
    await sql.execute(f"SELECT FROM {settings.schema}.rows_c FOR UPDATE")
    reset = storage.reset_subscription("totals", to=Checkpoint(0), clear=["c"])
    resetting = asyncio.create_task(reset)
    await waits(sql, settings, "DELETE")

    shares = await storage.lease_partitions("a", ["mail", "totals"], seconds=SECONDS)

    assert held(shares["mail"]) == [0]
    await sql.execute("COMMIT")
    await resetting
    assert {state.worker for state in await storage.partition_states("totals")} == {None}


# ---------------------------------------------------------------------------- lost answers


async def test_a_lease_whose_answer_was_lost_is_answered_as_the_first_time(
    settings: PostgresSettings,
    storage: PostgresStorage,
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await lease(storage, "a")
    await run_out(sql, settings, "a")
    statements: Any = vars(storage)["_leases"]
    for name in ("lease", "release"):
        lose_answer(statements, name, monkeypatch)

    took = await lease(storage, "b")
    again = await lease(storage, "b")
    await storage.release_partitions("b", "totals", [2])

    assert [one.unclean for one in took.leases] == [True] * 4
    assert again.leases == tuple(replace(one, unclean=False) for one in took.leases)
    states = await storage.partition_states("totals")
    assert [state.worker for state in states] == ["b", "b", None, "b"]


def lose_answer(statements: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what *name* does done, and its first answer lost together with the connection."""
    work: Callable[..., Awaitable[Any]] = getattr(statements, name)
    lost: list[Any] = []

    async def lose(connection: Any, *arguments: Any, **options: Any) -> Any:
        answer = await work(connection, *arguments, **options)
        if lost:
            return answer
        lost.append(answer)
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    monkeypatch.setattr(statements, name, lose)


async def test_leases_and_tokens_outlast_a_server_that_crashes(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres(fsync="on")
    url = f"{server.url()}?sslmode=disable&auto_migrate=true"
    async with opened(PostgresSettings.from_url(url)) as storage:
        await storage.open_subscription("totals", partitions=4, start_after=0)
        mine = await lease(storage, "a")
        await storage.release_partitions("a", "totals", [3])

        await asyncio.to_thread(server.stop, "immediate")
        asking = asyncio.create_task(lease(storage, "a"))
        committing = asyncio.create_task(commit_all(storage, [moving(mine, n) for n in (0, 3)]))
        await asyncio.to_thread(server.start)

        done, refused = await committing
        assert (type(done), type(refused)) == (Committed, LeaseLostError)
        again = await asking
        assert [one.token for one in again.leases[:3]] == [one.token for one in mine.leases[:3]]
        # A crash may leave out some numbers of a sequence, and repeats none.
        assert again.leases[3].token > max(one.token for one in mine.leases)


async def test_code_that_may_not_write_leases_nothing(
    settings: PostgresSettings, storage: PostgresStorage, sql: Sql
) -> None:
    schema = settings.schema
    async with opened(settings) as before:
        await sql.execute(
            f"UPDATE {schema}.meta SET value = '99' WHERE name IN ('min_writer', 'schema_version')"
        )
        async with opened(replace(settings, auto_migrate=False)) as reading:
            with pytest.raises(SchemaVersionError, match="newer"):
                await lease(reading, "a")
            assert len(await reading.partition_states("totals")) == 4
        # One that was open refuses once the functions of its version do.
        await sql.execute(
            f"CREATE OR REPLACE FUNCTION {schema}.enter_v1(p_lock_ms integer) RETURNS text "
            f"LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'newer' USING ERRCODE = 'HW003'; "
            f"END $$"
        )
        with pytest.raises(SchemaVersionError, match="newer"):
            await lease(before, "a")
