"""An import vouches for what is in the target, also for what an earlier one has put there."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.clock import ManualClock
from headwater.errors import RestoreConflictError
from headwater.operations import export_file
from headwater.operations.exporting import export_log
from headwater.operations.importing import import_log
from headwater.ports.changes import StreamAction
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.testing.conformance.builders import new_event, new_events
from tests.operations.logs import appended, changed, everything

EXTRA = (
    "INSERT INTO headwater_events SELECT {}, 'order-9', 1, x'09', type, schema_version, data, "
    "occurred_at, recorded_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 "
    "FROM headwater_events LIMIT 1"
)
DAMAGES = {
    "one of another content": "UPDATE headwater_events SET data = '{}' WHERE position = 2",
    "one that is gone": "DELETE FROM headwater_events WHERE position = 5",
    "a whole stream that is gone": "DELETE FROM headwater_events WHERE stream_id = 'order-3'",
    "one too many between two chunks": EXTRA.format(9),
    "one too many at the end": EXTRA.format(13),
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a mark after every three events, so that a small log has many."""
    monkeypatch.setattr(export_file, "CHUNK_EVENTS_MAX", 3)


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    """An open storage in a file that can be damaged."""
    opened = SqliteStorage(SqliteSettings(tmp_path / "target.db", durability="normal"))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def exported(storage: MemoryStorage, path: Path) -> MemoryStorage:
    """A log that was exported, with holes after position 8 and at the end."""
    await appended(storage, "order-1", *new_events(7))
    await appended(storage, "order-3", new_event())
    await appended(storage, "order-2", new_event())
    await appended(storage, "order-1", *new_events(3))
    await appended(storage, "order-4", new_event())
    await changed(storage, "order-2", StreamAction.TOMBSTONE)
    await changed(storage, "order-4", StreamAction.TOMBSTONE)
    await export_log(storage, path, at=ManualClock().now())
    return storage


def damage(target: SqliteStorage, statement: str) -> None:
    """Change the file of *target* as no storage would."""
    with closing(sqlite3.connect(target.settings.path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount


@pytest.mark.parametrize("kind", DAMAGES)
async def test_an_import_that_is_repeated_finds(
    kind: str, exported: MemoryStorage, target: SqliteStorage, path: Path
) -> None:
    await import_log(target, path)
    assert (await import_log(target, path)).events == 11

    damage(target, DAMAGES[kind])

    with pytest.raises(RestoreConflictError):
        await import_log(target, path)


@pytest.mark.parametrize("kind", ["one of another content", "one that is gone"])
async def test_an_import_that_is_gone_on_with_finds(
    kind: str,
    exported: MemoryStorage,
    target: SqliteStorage,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restore = target.restore_log

    async def cut_off(
        events: tuple[StoredEvent, ...], *, head: int, streams: tuple[StreamInfo, ...] = ()
    ) -> None:
        if head > 8:
            raise InterruptedError
        await restore(events, head=head, streams=streams)

    with monkeypatch.context() as patched:
        patched.setattr(target, "restore_log", cut_off)
        with pytest.raises(InterruptedError):
            await import_log(target, path)

    damage(target, DAMAGES[kind])

    with pytest.raises(RestoreConflictError):
        await import_log(target, path)


async def test_what_was_erased_since_is_no_difference(
    exported: MemoryStorage, target: SqliteStorage, path: Path
) -> None:
    await import_log(target, path)
    for one in (exported, target):
        await changed(one, "order-1", StreamAction.TRUNCATE, 5)
        await changed(one, "order-3", StreamAction.TOMBSTONE)

    await import_log(target, path)

    assert await everything(target) == await everything(exported)
