"""The statements that read streams and the log."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from headwater.adapters.storage.postgres.connections import Connection
from headwater.errors import LogRewoundError
from headwater.ports.log import (
    PAGE_EVENTS_MAX,
    LogFilter,
    LogPage,
    StoredEvent,
    StoredPayload,
)
from headwater.ports.storage import StoredReceipt

SCAN_POSITIONS_MAX: Final = 2 * PAGE_EVENTS_MAX
"""How many positions one page looks through for events that match, so that it stays short."""

SCAN_TAGGED_MAX: Final = 5_000
"""How many events with the rarest of the wanted tags one page looks through."""

SCAN_MIN: Final = 1_000
"""How many of either a page looks through where nearly all match, if its limit is not above."""

_POSITION_MAX: Final = 2**63 - 1
_NO_TAGS: Final = ()

# Ids as bytea and not as uuid: the driver decodes those without a call of Python.
_COLUMNS: Final = (
    "position, stream_id, version, uuid_send(id), type, schema_version, data, occurred_at, "
    "recorded_at, uuid_send(correlation_id), uuid_send(causation_id), actor, tenant, "
    "traceparent, headers, tags"
)
# A page's first row is not an event: the id of the event at the page's end, the head, the end,
# and the id of the event where the page begins.
_META: Final = (
    "SELECT -1::bigint AS position, NULL::text, NULL::int, {ends_at}, NULL::text, NULL::int, "
    "NULL::json, head, scanned_to, {begins_at}, NULL::bytea, NULL::text, NULL::text, "
    "NULL::text, NULL::json, NULL::text[] FROM page"
)
# Which of the tags ($4) is the rarest from here on, and where its next events stand.
_RAREST: Final = (
    "rarest AS MATERIALIZED (SELECT tag, more FROM (SELECT tag, (SELECT count(*) FROM (SELECT "
    "FROM {schema}.event_tags AS e WHERE e.tag = t.tag AND e.position > $1::bigint "
    "LIMIT $3::bigint + 1) AS found) AS more FROM unnest($4::text[]) AS t (tag)) AS counted "
    "ORDER BY more LIMIT 1), "
)
_TAGGED: Final = (
    'SELECT position AS place FROM {schema}.event_tags WHERE tag = (SELECT tag COLLATE "C" '
    "FROM rarest) AND position > $1::bigint ORDER BY position"
)


class LogStatements:
    """What is read of the log in one schema. Each method is one statement."""

    def __init__(self, schema: str) -> None:
        self._schema: Final = schema
        events = f"{schema}.events"
        self._head: Final = f"SELECT {head_of(schema)}"
        stream = f"FROM {events} WHERE stream_id = $1 AND version {{}} $2::bigint ORDER BY version"
        self._forwards: Final = f"SELECT {_COLUMNS} {stream.format('>=')} LIMIT $3"
        self._backwards: Final = f"SELECT {_COLUMNS} {stream.format('<=')} DESC LIMIT $3"
        self._payloads: Final = (
            f"SELECT version, type, schema_version, data {stream.format('>=')} LIMIT $3"
        )
        self._receipt: Final = (
            f"SELECT digest, outcome, position FROM {schema}.receipts "
            f"WHERE consumer = $1 AND message_id = $2"
        )
        self._pages: Final[dict[tuple[bool, ...], str]] = {}

    async def head(self, connection: Connection) -> int:
        """Return the log's last position."""
        position: int = await connection.fetchval(self._head)
        return position

    async def read_stream(
        self,
        connection: Connection,
        stream_id: str,
        *,
        from_version: int | None,
        backwards: bool,
        limit: int,
    ) -> tuple[StoredEvent, ...]:
        """Return a part of a stream, as `Log.read_stream` says."""
        if backwards:
            newest = _POSITION_MAX if from_version is None else min(from_version, _POSITION_MAX)
            return _events(await connection.fetch(self._backwards, stream_id, newest, limit))
        oldest = min(from_version or 1, _POSITION_MAX)
        return _events(await connection.fetch(self._forwards, stream_id, oldest, limit))

    async def read_payloads(
        self, connection: Connection, stream_id: str, *, from_version: int, limit: int
    ) -> Sequence[StoredPayload]:
        """Return the payloads of a stream, as `Log.read_payloads` says."""
        oldest = min(from_version, _POSITION_MAX)
        rows = await connection.fetch(self._payloads, stream_id, oldest, limit)
        return list(map(tuple, rows))

    async def read_page(
        self,
        connection: Connection,
        *,
        after: int,
        after_id: bytes | None,
        where: LogFilter,
        limit: int,
    ) -> LogPage:
        """Return a page of the log, as `Log.read_log` says.

        Raises:
            LogRewoundError: the event at *after* is not the one that *after_id* names.
        """
        span = _span(where, limit)
        # What is added up must fit; that far away there is nothing.
        values: list[Any] = [min(after, _POSITION_MAX - span), limit, span]
        wanted = (where.tags, where.types, where.categories, where.tenants)
        values += (sorted(some) for some in wanted if some)
        meta, *rows = await connection.fetch(self._page(where), *values)
        head, scanned_to, begins_at = meta[7], meta[8], meta[9]
        if after_id is not None and (head < after or begins_at not in (None, after_id)):
            raise LogRewoundError("A reader of the log", position=after, head=head)
        if len(rows) == limit:
            events = _events(rows)
            return LogPage(events, events[-1].position, head, events[-1].id)
        return LogPage(_events(rows), max(scanned_to, after), head, meta[3])

    async def receipt(
        self, connection: Connection, consumer: str, message_id: bytes
    ) -> StoredReceipt | None:
        """Return what is known of a message, None if nothing is."""
        row = await connection.fetchrow(self._receipt, consumer, message_id)
        return None if row is None else StoredReceipt(*row)

    def _page(self, where: LogFilter) -> str:
        """Return the statement that reads a page, made once for each shape of filter."""
        shape = (*map(bool, (where.tags, where.types, where.categories, where.tenants)),)
        shape += (where.internal, where.archived)
        found = self._pages.get(shape)
        if found is None:
            found = self._pages[shape] = self._page_for(where)
        return found

    def _page_for(self, where: LogFilter) -> str:
        schema, rarest, source = self._schema, "", f"{self._schema}.events"
        ends = "least($1::bigint + $3::bigint, head)"
        if where.tags:
            rarest, tagged = _RAREST.format(schema=schema), _TAGGED.format(schema=schema)
            # Event by event along the index, whatever the server believes to be in the tables.
            source = (
                f"({tagged} LIMIT $3::bigint) AS tagged CROSS JOIN LATERAL "
                f"(SELECT * FROM {schema}.events WHERE position = place LIMIT 1) AS found"
            )
            ends = (
                f"CASE WHEN (SELECT more FROM rarest) > $3::bigint "
                f"THEN ({tagged} OFFSET $3::bigint - 1 LIMIT 1) ELSE head END"
            )
        order = "place" if where.tags else "position"
        meta = _META.format(
            ends_at=f"uuid_send({id_at(schema, 'scanned_to')})",
            begins_at=f"uuid_send({id_at(schema, '$1::bigint')})",
        )
        terms = " AND ".join(_terms(where))
        return (
            f"WITH {rarest}page AS MATERIALIZED (SELECT head, greatest($1::bigint, {ends}) "
            f"AS scanned_to FROM (SELECT {head_of(schema)} AS head) AS log) "
            f"SELECT * FROM ({meta} UNION ALL (SELECT {_COLUMNS} FROM {source} "
            f"WHERE {terms} ORDER BY {order} LIMIT $2::bigint)) AS rows ORDER BY position"
        )


def _span(where: LogFilter, limit: int) -> int:
    """Return how many positions, or events with the rarest tag, a page looks through.

    Not more than it needs where nearly all of them match: a server that has not yet counted
    what is in its tables may read all of it before it takes the first.
    """
    if where.types or where.categories or where.tenants or len(where.tags) > 1:
        return SCAN_TAGGED_MAX if where.tags else SCAN_POSITIONS_MAX
    return max(limit, SCAN_MIN)


def head_of(schema: str) -> str:
    """Return the expression for the log's last position."""
    last = f"SELECT position FROM {schema}.events ORDER BY position DESC LIMIT 1"
    return f"greatest((SELECT position FROM {schema}.head), ({last}))"


def id_at(schema: str, position: str) -> str:
    """Return the expression for the id of the event at *position*, NULL if none is known."""
    found = f"(SELECT id FROM {schema}.{{}} WHERE position = {position})"
    return f"coalesce({found.format('events')}, {found.format('erased_events')})"


def _terms(where: LogFilter) -> Iterable[str]:
    place = 4
    if where.tags:
        yield f"tags @> ${place}::text[]"
        place += 1
    else:
        yield "position > $1::bigint AND position <= $1::bigint + $3::bigint"
    if where.types:
        yield f"type = ANY(${place}::text[])"
        place += 1
    if where.categories:
        yield f"split_part(stream_id, '-', 1) = ANY(${place}::text[])"
        place += 1
    if where.tenants:
        # By no index, like types and categories: a page looks through SCAN_POSITIONS_MAX positions
        # at most, and an index would cost every append.
        yield f"tenant = ANY(${place}::text[])"
    if not where.internal:
        # "%" follows "$", and text compares by its bytes; most names begin with a letter, so
        # that one comparison will do.
        yield "(stream_id >= '%' OR stream_id < '$')"
    if not where.archived:
        yield "NOT archived"


def _events(rows: Iterable[asyncpg.Record]) -> tuple[StoredEvent, ...]:
    return tuple(
        [
            StoredEvent(
                position,
                stream_id,
                version,
                id_,
                type_,
                schema_version,
                data,
                occurred_at,
                recorded_at,
                correlation_id,
                causation_id,
                actor,
                tenant,
                traceparent,
                headers,
                tuple(tags) if tags else _NO_TAGS,
            )
            for (
                position,
                stream_id,
                version,
                id_,
                type_,
                schema_version,
                data,
                occurred_at,
                recorded_at,
                correlation_id,
                causation_id,
                actor,
                tenant,
                traceparent,
                headers,
                tags,
            ) in rows
        ]
    )
