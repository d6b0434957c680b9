"""Commits that wait together on PostgreSQL: none harms another, whatever is wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres import checks as checks_module
from headwater.adapters.storage.postgres import writer as writer_module
from headwater.adapters.storage.postgres import writing as writing_module
from headwater.adapters.storage.postgres.connections import Connection, connect
from headwater.adapters.storage.postgres.limits import (
    LOCK_MS_MIN,
    LOCK_WAITS_MAX,
    LOG_LOCK_MS_MIN,
)
from headwater.adapters.storage.postgres.refusals import Outcome, outcome_of
from headwater.errors import (
    ConfigurationError,
    DeadlineExceededError,
    LimitExceededError,
    OutcomeUnknownError,
    RowConflictError,
    StorageBusyError,
    StorageError,
    StorageReadOnlyError,
)
from headwater.ports.changes import (
    Changes,
    Committed,
    IndexValue,
    NewReceipt,
    RowChange,
)
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.testing.conformance.builders import (
    appending,
    commit_all,
    id_bytes,
    new_event,
    row,
    writing,
)

PLAIN = CollectionSpec("users", ("id", "email"))
UNIQUE = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)
OTHERS = CollectionSpec("others", ("id",))


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}&lock_seconds=0.2"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@pytest.fixture
async def storage(settings: PostgresSettings) -> AsyncIterator[PostgresStorage]:
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Connection]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


def writer_of(storage: PostgresStorage) -> Any:
    return cast("Any", storage)._open.writer


def event(number: int = 0) -> Changes:
    return appending(f"order-{number}", new_event())


def kinds(results: Sequence[object]) -> list[type]:
    return [type(one) for one in results]


# ------------------------------------------------------------------------------ how large


def listen_to_groups(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> list[Sequence[Changes]]:
    """Return a list that gets each group that is committed from now on."""
    committer, groups = writer_of(storage)._committer, list[Sequence[Changes]]()
    commit: Callable[[Sequence[Changes]], Any] = committer.commit

    async def listening(group: Sequence[Changes]) -> Any:
        groups.append(group)
        return await commit(group)

    monkeypatch.setattr(committer, "commit", listening)
    return groups


async def test_a_group_takes_no_more_bytes_than_its_limit_and_a_larger_commit_goes_alone(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GROUP_BYTES_MAX", 1000)
    await storage.prepare_collections([OTHERS])
    groups = listen_to_groups(storage, monkeypatch)
    text = f'"{"ä" * 200}"'  # 402 bytes
    large = appending("order-1", *[new_event(data=text) for _ in range(4)])
    events = [appending("order-1", new_event(data=text)) for _ in range(3)]
    rows = [writing(RowChange("others", f"{number}", text)) for number in range(2)]

    results = await commit_all(storage, [*events, large, *rows, event()])

    assert set(kinds(results)) == {Committed}
    assert [len(group) for group in groups] == [2, 1, 1, 3]


async def test_a_commit_that_is_too_large_for_one_message_is_refused(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_module, "COMMIT_BYTES_MAX", 1000)
    await storage.prepare_collections([OTHERS])
    receipt = NewReceipt("orders", id_bytes(), b"d", f'"{"x" * 500}"')
    large = Changes(rows=(RowChange("others", "1", f'"{"x" * 500}"'),), receipts=(receipt,))

    results = await commit_all(storage, [event(), large, event(1)])

    assert kinds(results) == [Committed, LimitExceededError, Committed]


# --------------------------------------------------------------------------- who is harmed


async def test_what_a_user_may_not_write_harms_no_other_commit(
    storage: PostgresStorage, settings: PostgresSettings, sql: Connection
) -> None:
    schema, role = settings.schema, f"r_{settings.schema}"
    await storage.prepare_collections([PLAIN, OTHERS])
    await sql.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}; "
        f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}; "
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}; "
        f"REVOKE INSERT, UPDATE ON {schema}.rows_others FROM {role}"
    )
    theirs = PostgresStorage(replace(settings, user=role, auto_migrate=False))
    await theirs.open()

    forbidden = writing(row("others", "1"))
    many = [event(), writing(row("users", "1")), forbidden, event(1), writing(row("users", "2"))]
    results = await commit_all(theirs, many)
    await theirs.close()
    await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    done = Committed
    assert kinds(results) == [done, done, StorageReadOnlyError, done, done]


def listen_to_waits(storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets how many ms each call from now on may wait for a lock."""
    connection, waits = writer_of(storage).connection, list[int]()
    call: Callable[[str, Sequence[Any]], Any] = connection.call

    async def listening(text: str, values: Sequence[Any]) -> Any:
        # Where anything but appends is committed, the time to wait stands third.
        waits.append(values[2] if isinstance(values[0], bytes) else values[0])
        return await call(text, values)

    monkeypatch.setattr(connection, "call", listening)
    return waits


async def test_a_lock_that_is_held_keeps_a_group_waiting_once_and_not_once_for_each_member(
    storage: PostgresStorage,
    settings: PostgresSettings,
    sql: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await storage.prepare_collections([OTHERS])
    waits = listen_to_waits(storage, monkeypatch)
    many = [*[writing(row("others", f"{number}")) for number in range(20)], event()]
    async with sql.transaction():
        await sql.execute(f"LOCK TABLE {settings.schema}.rows_others IN EXCLUSIVE MODE")

        results = await commit_all(storage, many)

    assert kinds(results) == [*[StorageBusyError] * 20, Committed]
    assert sum(waits) <= (LOCK_WAITS_MAX + 1) * 200 + len(many) * 2 * LOCK_MS_MIN
    # Long enough for a turn at the log, which others hold all the time.
    assert waits[-1] == 200 < LOG_LOCK_MS_MIN


async def test_the_time_without_a_server_is_none_that_a_group_has_waited_for_locks(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = PostgresStorage(replace(settings, lock_seconds=1.0))
    await storage.open()
    await storage.prepare_collections([OTHERS])
    await storage.commit(event())
    waits = listen_to_waits(storage, monkeypatch)
    loop = asyncio.get_running_loop()
    time = loop.time

    async def connect_late(*arguments: Any, **options: Any) -> Connection:
        monkeypatch.setattr(loop, "time", lambda: time() + 5.0)
        return await connect(*arguments, **options)

    monkeypatch.setattr(writing_module, "connect", connect_late)
    writer_of(storage).connection.drop()

    # After one that is refused, those behind it are tried anew.
    results = await commit_all(storage, [writing(row("others", "1", expected=9)), event(), event()])
    await storage.close()

    assert kinds(results) == [RowConflictError, Committed, Committed]
    assert len(waits) > 1
    assert set(waits) == {1000}


async def test_a_commit_that_waits_while_its_collection_is_prepared_anew_harms_no_other(
    storage: PostgresStorage, settings: PostgresSettings, sql: Connection
) -> None:
    await storage.prepare_collections([PLAIN])
    async with sql.transaction():
        await sql.execute(
            "SELECT pg_advisory_xact_lock(1212438354, $1::regnamespace::oid::integer)",
            settings.schema,
        )
        first = asyncio.create_task(storage.commit(event()))
        await asyncio.sleep(0)
        tasks = [
            asyncio.create_task(storage.commit(changes))
            for changes in (event(1), writing(row("users", "1")), event(2))
        ]
        await asyncio.sleep(0)
        await storage.prepare_collections([UNIQUE])
    results = await asyncio.gather(first, *tasks, return_exceptions=True)

    assert kinds(results) == [Committed, Committed, ConfigurationError, Committed]
    assert (await storage.commit(event())).position == 4


@pytest.mark.parametrize("value", [["a list"], object()])
async def test_an_indexed_value_that_is_none_harms_no_other_commit(
    storage: PostgresStorage, value: object
) -> None:
    await storage.prepare_collections([UNIQUE])
    wrong = writing(RowChange("users", "1", "{}", (cast("IndexValue", value),)))

    results = await commit_all(storage, [event(), wrong, writing(row("users", "2", "a"))])

    assert kinds(results) == [Committed, StorageError, Committed]


async def test_a_group_that_fails_unforeseen_is_told_so_and_the_writer_goes_on(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(group: Sequence[Changes]) -> list[Outcome]:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(writer_of(storage)._committer, "commit", failing)
        results = await commit_all(storage, [event(), event(1)])

    assert kinds(results) == [OutcomeUnknownError] * 2
    assert (await storage.commit(event())).position == 1


# ------------------------------------------------------------------------ what was decided


async def test_a_deadline_of_before_all_time_has_passed(storage: PostgresStorage) -> None:
    with pytest.raises(DeadlineExceededError):
        await storage.commit(replace(event(), deadline=-(10**18)))


async def test_what_was_decided_is_not_sent_again_where_one_outcome_cannot_be_told(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.prepare_collections([OTHERS])
    await storage.commit(writing(row("others", "1")))
    version = (await storage.get_rows("others", ["1"]))["1"].version

    def failing(changes: Changes, *arguments: Any, **options: Any) -> Outcome:
        if changes.deadline is not None:
            raise OverflowError("a bug")
        return outcome_of(changes, *arguments, **options)

    monkeypatch.setattr("headwater.adapters.storage.postgres.committer.outcome_of", failing)
    late = replace(event(), deadline=1)

    results = await commit_all(storage, [late, writing(row("others", "1", expected=version))])

    assert kinds(results) == [StorageError, Committed]
