"""Commits on PostgreSQL: others in the way, lost connections, several processes at once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import (
    ConcurrencyError,
    ConfigurationError,
    DuplicateValueError,
    OutcomeUnknownError,
    ReceiptExistsError,
    RowConflictError,
    StorageBusyError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
    TagConditionError,
)
from headwater.ports.changes import (
    Changes,
    CheckpointMove,
    Committed,
    NewReceipt,
    RowGuard,
    TagCondition,
)
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    commit_all,
    id_bytes,
    new_event,
    new_events,
    row,
    whole_log,
    writing,
)
from tests.servers.postgres import PostgresServer

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
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


async def backends(sql: Sql, settings: PostgresSettings) -> list[int]:
    """Return the server's processes that work for a storage of these settings."""
    name = settings.application_name
    found = await sql.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = $1", name)
    return [pid for (pid,) in found]


def mixed(number: int) -> Changes:
    """Return changes of a kind that depends on *number*; each kind goes another way."""
    events = appending(f"order-{number}", new_event(data=f"{number}"))
    match number % 4:
        case 0:
            return events
        case 1:
            return appending(f"order-{number}", *new_events(2), expected=ExpectedVersion.NO_STREAM)
        case 2:
            receipt = NewReceipt("orders", id_bytes(), b"d", "null")
            return replace(events, receipts=(receipt,))
        case _:
            return replace(events, rows=(row("users", f"{number}", f"{number}", expected=0),))


# ------------------------------------------------------------------------- lost connections


async def test_commits_are_done_once_each_while_their_connections_are_terminated(
    settings: PostgresSettings, sql: Sql
) -> None:
    settings = replace(settings, application_name=settings.schema)
    async with opened(settings) as storage:
        await storage.prepare_collections([USERS])
        numbers, done = iter(range(400)), asyncio.Queue[int]()

        async def work() -> None:
            for number in numbers:
                await storage.commit(mixed(number))
                done.put_nowait(number)

        workers = [asyncio.create_task(work()) for _ in range(8)]
        for _ in range(19):
            for _ in range(20):
                await done.get()
            for pid in await backends(sql, settings):
                await sql.execute("SELECT pg_terminate_backend($1)", pid)
        await asyncio.gather(*workers)

        log = await whole_log(storage)
        assert [event.position for event in log] == list(range(1, 501))
        assert {event.stream_id for event in log} == {f"order-{number}" for number in range(400)}
        assert await storage.count_rows("users") == 100


@pytest.mark.parametrize("number", range(4))
async def test_a_commit_whose_answer_was_lost_is_answered_as_the_first_time(
    storage: PostgresStorage, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.prepare_collections([USERS])
    await storage.commit(appending("order-9", new_event()))
    lose_answers(storage, monkeypatch, count=2)

    committed = await storage.commit(mixed(number))

    assert committed.position == (3 if number == 1 else 2)
    assert await storage.head() == committed.position


async def test_a_batch_whose_answer_was_lost_is_answered_as_the_first_time(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.prepare_collections([USERS])
    await storage.commit(appending("order-1", new_event()))
    lose_answers(storage, monkeypatch, count=5)
    stale = appending("order-1", new_event(), expected=ExpectedVersion.NO_STREAM)
    again = writing(row("users", "3", "other", expected=0))

    results = await commit_all(storage, [mixed(2), mixed(3), stale, again, mixed(4), mixed(5)])

    positions = [one.position if isinstance(one, Committed) else type(one) for one in results]
    assert positions == [2, 3, ConcurrencyError, RowConflictError, 4, 6]
    assert await storage.head() == 6


async def test_a_new_writer_removes_what_dead_ones_have_left(
    settings: PostgresSettings, sql: Sql
) -> None:
    async with opened(settings) as storage:
        await storage.prepare_collections([USERS])
        await storage.commit(mixed(3))
    await sql.execute(f"UPDATE {settings.schema}.writers SET written_at = 1")

    async with opened(settings) as storage:
        await storage.commit(mixed(7))
        await storage.commit(mixed(11))

    assert await sql.fetchval(f"SELECT count(*) FROM {settings.schema}.writers") == 1


def lose_answers(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch, *, count: int | None
) -> None:
    """Have the next *count* answers of the server lost together with the connection."""
    connection = writing_connection(storage)
    send: Callable[..., Awaitable[Any]] = connection._send
    left = count

    async def send_and_lose(*arguments: Any) -> Any:
        nonlocal left
        answer = await send(*arguments)
        if left is None or left > 0:
            left = None if left is None else left - 1
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")
        return answer

    monkeypatch.setattr(connection, "_send", send_and_lose)


def writing_connection(storage: PostgresStorage) -> Any:
    """Return the connection that commits."""
    workers: Any = vars(storage)["_open"]
    return workers.writer.connection


async def test_an_outcome_that_stays_unknown_is_told_as_such(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(replace(settings, patience_seconds=0.1)) as storage:
        lose_answers(storage, monkeypatch, count=None)

        with pytest.raises(OutcomeUnknownError, match="It may be done or not"):
            await storage.commit(appending("order-1", new_event()))


async def test_commits_wait_for_a_server_that_is_restarted(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres()
    url = f"{server.url()}?sslmode=disable&auto_migrate=true"
    async with opened(PostgresSettings.from_url(url)) as storage:
        await storage.commit(appending("order-1", new_event()))

        await asyncio.to_thread(server.stop)
        commits = [
            asyncio.create_task(storage.commit(appending("order-1", new_event())))
            for _ in range(10)
        ]
        reading = asyncio.create_task(storage.head())
        await asyncio.to_thread(server.start)

        assert {(await one).position for one in commits} == set(range(2, 12))
        assert 1 <= await reading <= 11


async def test_a_server_that_stays_away_is_told_after_the_storages_patience(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    server = new_postgres()
    url = f"{server.url()}?sslmode=disable&auto_migrate=true&patience_seconds=0.2"
    settings = PostgresSettings.from_url(url)
    async with opened(settings) as storage:
        await asyncio.to_thread(server.stop)

        many = [appending("order-1", new_event()) for _ in range(20)]
        results = await commit_all(storage, many)
        with pytest.raises(StorageUnavailableError):
            await storage.head()

    assert {type(one) for one in results} <= {StorageUnavailableError, OutcomeUnknownError}
    with pytest.raises(StorageUnavailableError, match="can't be reached"):
        await PostgresStorage(settings).open()


# ---------------------------------------------------------------------- others in the way


async def test_whoever_waits_too_long_for_a_row_is_told_and_harms_no_other(
    settings: PostgresSettings, sql: Sql
) -> None:
    async with opened(replace(settings, lock_seconds=0.05)) as storage:
        await storage.prepare_collections([USERS])
        await storage.commit(writing(row("users", "1", "a")))
        version = (await storage.get_rows("users", ["1"]))["1"].version
        guarded = Changes(
            appends=(append("order-1", new_event()),), guards=(RowGuard("users", "1", version),)
        )
        rewritten = replace(guarded, rows=(row("users", "1", "b"),))
        async with sql.transaction():
            await sql.execute(f"SELECT FROM {settings.schema}.rows_users FOR UPDATE")

            results = await commit_all(storage, [mixed(0), rewritten, mixed(1)])

        assert isinstance(results[0], Committed)
        assert isinstance(results[1], StorageBusyError)
        assert isinstance(results[2], Committed)
        assert isinstance(await storage.commit(rewritten), Committed)


async def test_whoever_waits_too_long_for_the_log_is_told(
    settings: PostgresSettings, sql: Sql
) -> None:
    async with opened(replace(settings, lock_seconds=0.05)) as storage:
        async with sql.transaction():
            await sql.execute(
                "SELECT pg_advisory_xact_lock(1212438354, $1::regnamespace::oid::integer)",
                settings.schema,
            )
            with pytest.raises(StorageBusyError, match="lock_seconds"):
                await storage.commit(appending("order-1", new_event()))

        assert (await storage.commit(appending("order-1", new_event()))).position == 1


@pytest.mark.parametrize(
    ("state", "error"), [("53100", StorageFullError), ("25006", StorageReadOnlyError)]
)
async def test_what_the_server_cannot_do_is_told_and_nothing_is_written(
    storage: PostgresStorage,
    settings: PostgresSettings,
    sql: Sql,
    state: str,
    error: type[Exception],
) -> None:
    schema = settings.schema
    await sql.execute(
        f"CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$; "
        f"CREATE TRIGGER fail BEFORE INSERT ON {schema}.events "
        f"EXECUTE FUNCTION {schema}.fail()"
    )

    results = await commit_all(storage, [mixed(0), mixed(2), mixed(4)])
    await sql.execute(f"DROP TRIGGER fail ON {schema}.events")

    assert [type(one) for one in results] == [error] * 3
    assert (await storage.commit(mixed(0))).position == 1


async def test_one_event_that_the_server_does_not_take_harms_no_other(
    storage: PostgresStorage,
) -> None:
    many = [
        appending("order-1", new_event(data=data)) for data in ("1", "no JSON", '"\\u0000"', "4")
    ]
    many.append(appending("order-1", new_event(actor="\x00")))
    many.append(appending("order-1", new_event(schema_version=2**40)))

    results = await commit_all(storage, many)

    failed = [type(one) for one in results if not isinstance(one, Committed)]
    assert failed == [ValueError] * 3
    assert [event.data for event in await whole_log(storage)] == ["1", '"\\u0000"', "4"]


async def test_a_standby_can_be_read_and_not_written(
    new_postgres: Callable[..., PostgresServer],
) -> None:
    primary = new_postgres()
    url = "{}?sslmode=disable&moves_outbox=false&auto_migrate={}"
    async with opened(PostgresSettings.from_url(url.format(primary.url(), "true"))) as storage:
        await storage.commit(appending("order-1", new_event()))
    standby = await asyncio.to_thread(primary.standby, f"{primary.data.parent.name}-standby")

    async with opened(PostgresSettings.from_url(url.format(standby.url(), "false"))) as storage:
        assert await storage.head() == 1
        for changes in (mixed(0), mixed(1), mixed(2)):
            with pytest.raises(StorageReadOnlyError, match="connect to the primary"):
                await storage.commit(changes)


async def test_a_refused_connection_says_what_to_look_at(
    settings: PostgresSettings, sql: Sql, postgres_schema: str
) -> None:
    role = f"r_{postgres_schema}"
    await sql.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    nobody = replace(settings, user="nobody_at_all", password="s3cret")
    nowhere = replace(settings, database="nowhere")

    for wrong, error in (
        (nobody, ConfigurationError),
        (nowhere, ConfigurationError),
        (replace(settings, user=role), StorageUnavailableError),
    ):
        with pytest.raises(error) as refusal:
            await PostgresStorage(wrong).open()
        assert "s3cret" not in str(refusal.value)
    await sql.execute(f"DROP ROLE {role}")


# ----------------------------------------------------------------- several processes at once


RACES: dict[str, tuple[Callable[[int], Changes], type[Exception]]] = {
    "a new stream": (
        lambda n: appending("order-1", new_event(), expected=ExpectedVersion.NO_STREAM),
        ConcurrencyError,
    ),
    "a version": (
        lambda n: appending("seen-1", new_event(), expected=ExpectedVersion.exactly(1)),
        ConcurrencyError,
    ),
    "a row that is not there": (
        lambda n: writing(row("users", "1", f"{n}", expected=0)),
        RowConflictError,
    ),
    "a unique value": (lambda n: writing(row("users", f"{n}", "taken")), DuplicateValueError),
    "a message": (
        lambda n: Changes(receipts=(NewReceipt("orders", bytes(16), b"d", "null"),)),
        ReceiptExistsError,
    ),
    "a tag": (
        lambda n: Changes(
            appends=(append(f"seat-{n}", new_event(tags=("seat:1",))),),
            conditions=(TagCondition(("seat:1",), 0),),
        ),
        TagConditionError,
    ),
}


@pytest.mark.parametrize("race", RACES)
async def test_of_several_processes_that_want_one_thing_one_gets_it(
    settings: PostgresSettings, race: str
) -> None:
    wanting, refusal = RACES[race]
    async with opened(settings) as one, opened(settings) as two, opened(settings) as three:
        await one.prepare_collections([USERS])
        await one.commit(appending("seen-1", new_event()))
        for storage in (two, three):
            await storage.prepare_collections([USERS])

        commits = [
            each.commit(wanting(10 * place + n))
            for n in range(4)
            for place, each in enumerate((one, two, three))
        ]
        results = await asyncio.gather(*commits, return_exceptions=True)

    done = [one for one in results if isinstance(one, Committed)]
    assert len(done) == 1
    assert {type(one) for one in results if one not in done} == {refusal}


async def test_commits_of_many_kinds_by_several_processes_neither_lose_nor_lock_each_other(
    settings: PostgresSettings,
) -> None:
    many = CollectionSpec("many", ("id",))
    async with opened(settings) as one, opened(settings) as two, opened(settings) as three:
        storages = (one, two, three)
        for storage in storages:
            await storage.prepare_collections([USERS, many])
            await storage.open_subscription("totals", partitions=3, start_after=0)

        async def work(place: int, number: int) -> None:
            events = (append(f"hot-{number % 2}", *new_events(1 + number % 3)),)
            key = f"{7 * number % 5}"
            rows = (
                row("many", key),
                row("users", key, f"{place}-{number}"),
                row("many", f"{3 * number % 5}"),
            )
            move = CheckpointMove("totals", place, number, number + 1)
            await storages[place].commit(
                Changes(
                    appends=events if number % 3 else (),
                    rows=rows if number % 4 else (),
                    checkpoints=(move,),
                )
            )

        async def worker(place: int) -> None:
            for number in range(40):
                await work(place, number)

        await asyncio.gather(*(worker(place) for place in range(3)))

        checkpoints = await one.open_subscription("totals", partitions=3, start_after=0)
        assert [checkpoint.position for checkpoint in checkpoints] == [40] * 3
        log = await whole_log(one)
        assert [event.position for event in log] == list(range(1, len(log) + 1))
        assert len(log) == 3 * sum(1 + number % 3 for number in range(40) if number % 3)
        for stream_id in ("hot-0", "hot-1"):
            events = await one.read_stream(stream_id)
            assert [event.version for event in events] == list(range(1, len(events) + 1))
