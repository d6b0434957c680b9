"""The statements that take over another storage's log, positions and times included."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import astuple

from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.transactions import writing
from headwater.errors import RestoreConflictError
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.ports.restoration import Restored, conflict

# As the functions that commit take it; it is held to the end of the transaction.
_LOCK_LOG: Final = (
    "SELECT pg_advisory_xact_lock(1212438354, '{schema}'::regnamespace::oid::integer)"
)
_HEAD: Final = """
SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at)
FROM {schema}.head AS h LEFT JOIN (
    SELECT position, recorded_at FROM {schema}.events ORDER BY position DESC LIMIT 1
) AS e ON true
"""
_VERSIONS: Final = """
SELECT u.stream_id, greatest(
    (SELECT max(e.version) FROM {schema}.events AS e WHERE e.stream_id = u.stream_id),
    (SELECT s.version FROM {schema}.streams AS s WHERE s.stream_id = u.stream_id), 0)
FROM unnest($1::text[]) AS u (stream_id)
"""
_KNOWN: Final = """
SELECT uuid_send(id), position FROM {schema}.events WHERE id = ANY ($1::uuid[])
UNION ALL SELECT uuid_send(id), position FROM {schema}.erased_events WHERE id = ANY ($1::uuid[])
LIMIT 1
"""
_MARK_ARCHIVED: Final = """
UPDATE {schema}.events AS e SET archived = true FROM {schema}.streams AS s
WHERE e.position >= $1 AND s.stream_id = e.stream_id AND s.state = 'archived'
"""
_GIVEN: Final = "unnest($1::text[], $2::integer[]) AS u (stream_id, below)"
_KEEP_ERASED: Final = f"""
INSERT INTO {{schema}}.erased_events (id, position, stream_id, version, type, erased_at)
SELECT e.id, e.position, e.stream_id, e.version, e.type,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM {{schema}}.events AS e JOIN {_GIVEN} ON e.stream_id = u.stream_id AND e.version < u.below
"""
_ERASE: Final = f"""
DELETE FROM {{schema}}.events AS e USING {_GIVEN}
WHERE e.stream_id = u.stream_id AND e.version < u.below
"""
_MARK: Final = """
UPDATE {schema}.events AS e SET archived = u.archived
FROM unnest($1::text[], $2::boolean[]) AS u (stream_id, archived)
WHERE e.stream_id = u.stream_id AND e.archived <> u.archived
"""
_KEEP_STREAMS: Final = """
INSERT INTO {schema}.streams AS s (stream_id, state, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[])
ON CONFLICT (stream_id) DO UPDATE SET state = excluded.state, version = excluded.version
"""
_SET_HEAD: Final = """
UPDATE {schema}.head SET position = $1, recorded_at = greatest(recorded_at, $2)
"""
_TELL: Final = "SELECT pg_notify($1, $2)"


class RestorationStatements:
    """Writes parts of another log into one schema."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings: Final = settings

    async def restore(
        self,
        connection: Connection,
        restored: Restored,
        events: Sequence[StoredEvent],
        *,
        head: int,
        streams: Sequence[StreamInfo],
    ) -> None:
        """Do what `Restoration.restore_log` says in one transaction.

        Sent again after a lost connection, it finds what it has done, and does nothing.
        """
        settings = self._settings
        async with writing(connection, settings.quoted_schema, lock_seconds=settings.lock_seconds):
            await connection.execute(self._sql(_LOCK_LOG))
            if await self._is_done(connection, events, head=head):
                return
            await self._check(connection, restored, events, head=head, streams=streams)
            await self._write_events(connection, events)
            await self._write_streams(connection, streams)
            recorded_at = events[-1].recorded_at if events else 0
            await connection.execute(self._sql(_SET_HEAD), head, recorded_at)
            await connection.execute(_TELL, settings.channel, str(head))

    async def _is_done(
        self, connection: Connection, events: Sequence[StoredEvent], *, head: int
    ) -> bool:
        if not events:
            return False
        stored_head = await connection.fetchval(self._sql(_HEAD))
        last = await connection.fetchval(
            self._sql("SELECT uuid_send(id) FROM {schema}.events WHERE position = $1"),
            events[-1].position,
        )
        return bool(stored_head == head and last == events[-1].id)

    async def _check(
        self,
        connection: Connection,
        restored: Restored,
        events: Sequence[StoredEvent],
        *,
        head: int,
        streams: Sequence[StreamInfo],
    ) -> None:
        (stored_head, recorded_at), *_ = await connection.fetch(self._sql(_HEAD))
        names = sorted({*restored.first, *(info.stream_id for info in streams)})
        rows = await connection.fetch(self._sql(_VERSIONS), names)
        versions = {str(row[0]): int(row[1]) for row in rows}
        restored.check_stored(
            events, head=head, stored_head=stored_head, recorded_at=recorded_at, versions=versions
        )
        known = await connection.fetchrow(self._sql(_KNOWN), [event.id for event in events])
        if known is not None:
            event = next(event for event in events if event.id == known[0])
            raise conflict(event, f"its id is known already, from position {known[1]}")
        for info in streams:
            version = restored.last.get(info.stream_id, versions[info.stream_id])
            if info.version < version:
                raise RestoreConflictError(
                    f"Stream {info.stream_id!r} is at version {version}, and never falls to "
                    f"{info.version}."
                )

    async def _write_events(self, connection: Connection, events: Sequence[StoredEvent]) -> None:
        if not events:
            return
        rows: list[tuple[Any, ...]] = []
        for event in events:
            *values, tags = astuple(event)
            rows.append((*values, list(tags) or None))
        await connection.copy_records_to_table(
            "events",
            schema_name=self._settings.schema,
            columns=list(StoredEvent.__struct_fields__),
            records=rows,
        )
        tags = [(tag, event.position) for event in events for tag in set(event.tags)]
        await connection.copy_records_to_table(
            "event_tags",
            schema_name=self._settings.schema,
            columns=["tag", "position"],
            records=tags,
        )
        await connection.execute(self._sql(_MARK_ARCHIVED), events[0].position)

    async def _write_streams(self, connection: Connection, streams: Sequence[StreamInfo]) -> None:
        if not streams:
            return
        names = [info.stream_id for info in streams]
        below = [info.first_version or info.version + 1 for info in streams]
        states = [info.state.value for info in streams]
        await connection.execute(self._sql(_KEEP_ERASED), names, below)
        await connection.execute(self._sql(_ERASE), names, below)
        await connection.execute(self._sql(_MARK), names, [state == "archived" for state in states])
        versions = [info.version for info in streams]
        await connection.execute(self._sql(_KEEP_STREAMS), names, states, versions)

    def _sql(self, text: str) -> str:
        return text.format(schema=self._settings.quoted_schema)
