"""Files that older versions made open with this one, with all that is in them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage, schema
from headwater.adapters.storage.sqlite.failures import translated
from headwater.errors import (
    CheckpointConflictError,
    IdempotencyConflictError,
    SchemaVersionError,
)
from headwater.ports.changes import Appended, Changes, CheckpointMove, Committed
from headwater.ports.leases import Checkpoint, Lease
from headwater.ports.log import LogFilter, StreamInfo, StreamState
from headwater.ports.storage import StoredReceipt
from headwater.testing.conformance.builders import (
    appending,
    archive,
    changing,
    id_bytes,
    new_event,
    truncate,
    whole_log,
)
from headwater.testing.conformance.suite import FAR_FUTURE_US

FIRST = id_bytes()
SECOND = id_bytes()
MESSAGE = id_bytes()
RECENTLY_US = 1_700_000_000_000_000

_EVENT = (
    "INSERT INTO headwater_events VALUES (?, 'order-1', ?, ?, 'sales.order-placed', 1, "
    """'{"total":"9.99"}', 5, 5, NULL, NULL, 'ada', NULL, NULL, NULL, '["a"]')"""
)
# What version 1 of the schema was written with: two events, a receipt, two checkpoints.
WRITTEN_AT_1: Sequence[tuple[str, Sequence[object]]] = (
    (_EVENT, (1, 1, FIRST)),
    (_EVENT, (2, 2, SECOND)),
    ("INSERT INTO headwater_event_tags VALUES ('a', 1), ('a', 2)", ()),
    ("UPDATE headwater_head SET position = 2, row_version = 7, recorded_at = 5", ()),
    ("INSERT INTO headwater_receipts VALUES ('orders', ?, x'64', 'null', 2)", (MESSAGE,)),
    ("INSERT INTO headwater_checkpoints VALUES ('totals', 0, 2), ('totals', 1, 0)", ()),
)

# What code of version 1 begins with: each commit, each commit within a transaction of the
# user's, each look at the head, and each page of the log.
BEGINS_AT_1 = (
    """SELECT position, row_version, recorded_at, (SELECT max(id) FROM headwater_events),
        (SELECT json_group_array(coalesce(
            (SELECT max(version) FROM headwater_events WHERE stream_id = stream.value), 0))
        FROM json_each('[]') AS stream) FROM headwater_head""",
    "UPDATE headwater_head SET position = position",
    "SELECT position FROM headwater_head",
    """SELECT json_group_array(json_array(position)), (SELECT position FROM headwater_head)
        FROM (SELECT * FROM headwater_events WHERE position > 0 ORDER BY position LIMIT 9)""",
)

# How code of version 2 moves a checkpoint and opens a subscription.
MOVES_AT_2 = """UPDATE headwater_checkpoints SET position = 4, event_id = NULL
    WHERE subscription = 'totals' AND partition = 0"""
OPENS_AT_2 = """INSERT INTO headwater_checkpoints (subscription, partition, position)
    VALUES ('mail', 0, 7)"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as schema version 1 left it."""
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE headwater_meta (name TEXT PRIMARY KEY, value TEXT)")
        connection.execute("INSERT INTO headwater_meta VALUES ('schema_version', '1')")
        for statement in schema.MIGRATIONS[0]:
            connection.execute(statement)
        for statement, values in WRITTEN_AT_1:
            connection.execute(statement, values)
    return path


async def test_a_file_of_version_1_is_read_and_written_on(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()

    events = await whole_log(storage, LogFilter(tags=frozenset({"a"})))
    assert [(event.id, event.actor) for event in events] == [(FIRST, "ada"), (SECOND, "ada")]
    assert await storage.receipt("orders", MESSAGE) == StoredReceipt(b"d", "null", 2)
    checkpoints = await storage.open_subscription("totals", partitions=9, start_after=9)
    assert list(checkpoints) == [Checkpoint(2), Checkpoint(0)]
    committed = await storage.commit(appending("order-1", new_event()))
    assert committed == Committed(3, (Appended("order-1", 3, 3),))
    await storage.close()


async def test_what_is_new_works_on_what_was_there_before(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()

    await storage.commit(
        Changes(
            streams=(truncate("order-1", 2), archive("order-1")),
            checkpoints=(CheckpointMove("totals", 0, 2, 2, SECOND),),
        )
    )

    info = StreamInfo("order-1", 2, 2, StreamState.ARCHIVED)
    assert await storage.stream_info("order-1") == info
    assert await whole_log(storage) == []
    assert (await storage.read_log(after=1, after_id=FIRST)).scanned_to == 2
    checkpoints = await storage.open_subscription("totals", partitions=9, start_after=9)
    assert list(checkpoints) == [Checkpoint(2, SECOND), Checkpoint(0)]
    with pytest.raises(IdempotencyConflictError):
        await storage.commit(appending("order-2", new_event(id=FIRST)))
    with pytest.raises(CheckpointConflictError):
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 1, 1, 2),)))
    await storage.close()


async def test_partitions_from_before_are_leased_where_they_stand(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()

    shares = await storage.lease_partitions("a", ["totals"], seconds=60)

    assert shares["totals"].leases == (Lease(0, 1, Checkpoint(2)), Lease(1, 2, Checkpoint(0)))
    move = CheckpointMove("totals", 0, 2, 3, None, 1)
    await storage.commit(Changes(checkpoints=(move,)))
    await storage.close()


async def test_code_of_version_2_that_has_the_file_open_moves_checkpoints_by_compare_and_set(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for statement in schema.MIGRATIONS[1]:
            old.execute(statement)
        old.execute("UPDATE headwater_meta SET value = '2' WHERE name = 'schema_version'")
        storage = SqliteStorage(path)
        await storage.open()
        await storage.lease_partitions("a", ["totals"], seconds=60)

        old.execute(MOVES_AT_2)
        old.execute(OPENS_AT_2)

        with pytest.raises(CheckpointConflictError):
            await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 0, 2, 3, None, 1),)))
        states = await storage.partition_states("mail")
        assert [(one.checkpoint, one.token, one.worker) for one in states] == [
            (Checkpoint(7), 0, None)
        ]
        await storage.close()


async def test_receipts_from_before_are_kept_as_if_they_came_with_the_migration(
    path: Path,
) -> None:
    storage = SqliteStorage(path)
    await storage.open()

    assert (await storage.prune(before=RECENTLY_US)).total == 0
    assert (await storage.prune(before=FAR_FUTURE_US)).receipts == 1
    await storage.close()


async def test_a_migrated_file_has_the_tables_of_a_new_one(path: Path, tmp_path: Path) -> None:
    def columns(path: Path) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(
                "SELECT entry.name, info.name FROM sqlite_master AS entry, "
                "pragma_table_info(entry.name) AS info WHERE entry.name != 'headwater_meta' "
                "ORDER BY 1, info.cid"
            ).fetchall()

    new = tmp_path / "new.db"
    for each in (path, new):
        storage = SqliteStorage(each)
        await storage.open()
        await storage.commit(changing(archive("order-9")))
        await storage.close()

    assert columns(path) == columns(new)


@pytest.mark.parametrize("statement", BEGINS_AT_1)
async def test_code_from_before_that_has_the_file_open_fails_at_its_next_commit_or_page(
    path: Path, statement: str
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute(statement)  # Prepared, and kept so, as that code does.
        storage = SqliteStorage(path)
        await storage.open()

        with pytest.raises(sqlite3.OperationalError) as caught:
            old.execute(statement)

        told = translated(caught.value, path, busy_seconds=1)
        assert isinstance(told, SchemaVersionError)
        assert "headwater_head" in str(told)
        await storage.close()


async def test_a_view_of_somebody_else_that_is_broken_does_not_keep_a_file_from_being_migrated(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE VIEW report AS SELECT gone FROM nowhere")

    storage = SqliteStorage(path)
    await storage.open()

    assert await storage.head() == 2
    await storage.close()
