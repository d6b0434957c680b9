"""Takes over another storage's log, positions and times included."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, Final

import msgspec

from headwater.adapters.storage.sqlite.batch_streams import erase_below, keep_state
from headwater.adapters.storage.sqlite.connections import writing
from headwater.adapters.storage.sqlite.file import SqliteFile
from headwater.adapters.storage.sqlite.schema import EVENT_COLUMNS
from headwater.adapters.storage.sqlite.statements import RowsAsJson, insert_rows, select_in
from headwater.clock import microseconds_since_epoch
from headwater.errors import RestoreConflictError
from headwater.ports.log import StoredEvent, StreamInfo, StreamState
from headwater.ports.restoration import Restored, conflict

_EVENTS: Final = f"headwater_events ({EVENT_COLUMNS})"
_IDS: Final = RowsAsJson(("hex(id)",), tuple[str])
_VERSIONS: Final = (
    "SELECT stream.value, max("
    "coalesce((SELECT max(version) FROM headwater_events WHERE stream_id = stream.value), 0), "
    "coalesce((SELECT version FROM headwater_streams WHERE stream_id = stream.value), 0)) "
    "FROM json_each(?) AS stream"
)


class SqliteRestoration(SqliteFile):
    """The part of `SqliteStorage` that becomes what another log was."""

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """Write a part of another log, as `Restoration.restore_log` says."""
        opened = self._opened()
        restored = Restored(events, head=head, streams=streams)
        busy_seconds = self.settings.busy_seconds
        now = microseconds_since_epoch(self._clock.now())

        def restore(connection: sqlite3.Connection) -> None:
            with (
                closing(connection.cursor()) as cursor,
                writing(connection, busy_seconds=busy_seconds),
            ):
                if _is_done(cursor, events, head):
                    return
                _check(cursor, restored, events, streams, head)
                _write(cursor, events, streams, head=head, now=now)

        await opened.writer.run(restore)
        opened.news.heard(head)


def _is_done(cursor: sqlite3.Cursor, events: Sequence[StoredEvent], head: int) -> bool:
    if not events:
        return False
    stored_head, last = cursor.execute(
        "SELECT position, (SELECT id FROM headwater_events WHERE position = ?) "
        "FROM headwater_latest",
        (events[-1].position,),
    ).fetchone()
    return bool(stored_head == head and last == events[-1].id)


def _check(
    cursor: sqlite3.Cursor,
    restored: Restored,
    events: Sequence[StoredEvent],
    streams: Sequence[StreamInfo],
    head: int,
) -> None:
    stored_head, recorded_at = cursor.execute(
        "SELECT position, recorded_at FROM headwater_latest"
    ).fetchone()
    versions = _versions(cursor, {*restored.first, *(info.stream_id for info in streams)})
    restored.check_stored(
        events, head=head, stored_head=stored_head, recorded_at=recorded_at, versions=versions
    )
    for table in ("headwater_events", "headwater_erased"):
        ids = [event.id for event in events]
        for (found,) in select_in(cursor, _IDS, f"{table} WHERE id IN (IN)", ids):
            event = next(event for event in events if event.id == bytes.fromhex(found))
            raise conflict(event, "its id is known already")
    for info in streams:
        version = restored.last.get(info.stream_id, versions.get(info.stream_id, 0))
        if info.version < version:
            raise RestoreConflictError(
                f"Stream {info.stream_id!r} is at version {version}, and never falls to "
                f"{info.version}."
            )


def _versions(cursor: sqlite3.Cursor, streams: Iterable[str]) -> dict[str, int]:
    """Return the versions of those of *streams* that have one."""
    found = cursor.execute(_VERSIONS, (msgspec.json.encode(sorted(streams)).decode(),)).fetchall()
    return {stream_id: version for stream_id, version in found if version}


def _write(
    cursor: sqlite3.Cursor,
    events: Sequence[StoredEvent],
    streams: Sequence[StreamInfo],
    *,
    head: int,
    now: int,
) -> None:
    insert_rows(cursor, _EVENTS, [_row(event) for event in events])
    tags = [(tag, event.position) for event in events for tag in dict.fromkeys(event.tags)]
    insert_rows(cursor, "headwater_event_tags", tags)
    if events:
        cursor.execute(
            "UPDATE headwater_events SET archived = 1 WHERE position >= ? AND stream_id IN "
            "(SELECT stream_id FROM headwater_streams WHERE state = 'archived')",
            (events[0].position,),
        )
    for info in streams:
        _write_stream(cursor, info, now)
    cursor.execute(
        "UPDATE headwater_latest SET position = ?, recorded_at = max(recorded_at, ?)",
        (head, events[-1].recorded_at if events else 0),
    )


def _write_stream(cursor: sqlite3.Cursor, info: StreamInfo, now: int) -> None:
    below = info.first_version or info.version + 1
    erase_below(cursor, info.stream_id, below, now=now)
    state = StreamState.OPEN if info.state is StreamState.STAGED else info.state
    cursor.execute(
        "UPDATE headwater_events SET archived = ? WHERE stream_id = ?",
        (state is StreamState.ARCHIVED, info.stream_id),
    )
    keep_state(cursor, info.stream_id, info.version, state)


def _row(event: StoredEvent) -> tuple[Any, ...]:
    values: list[Any] = list(msgspec.structs.astuple(event))
    values[-1] = msgspec.json.encode(event.tags).decode() if event.tags else None
    return tuple(values)
