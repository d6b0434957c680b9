"""The statements that read streams and the log."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from headwater.adapters.storage.sqlite.statements import RowsAsJson
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

_POSITION_MAX: Final = 2**63 - 1
_Maybe: TypeAlias = str | None
_Row: TypeAlias = tuple[
    int, str, int, str, str, int, str, int, int, str, str, _Maybe, _Maybe, _Maybe, _Maybe, _Maybe
]
_EVENTS: Final = RowsAsJson(
    (
        *("position", "stream_id", "version", "hex(id)", "type", "schema_version", "data"),
        *("occurred_at", "recorded_at", "hex(correlation_id)", "hex(causation_id)"),
        *("actor", "tenant", "traceparent", "headers", "tags"),
    ),
    _Row,
)
_IN_STREAM: Final = "headwater_events INDEXED BY headwater_events_by_stream WHERE stream_id = ?"
# Column by column, because that is a fifth faster than row by row; each is one JSON array.
_SELECT_PAYLOADS: Final = (
    "SELECT json_group_array(version), json_group_array(type), "
    "json_group_array(schema_version), json_group_array(data), "
    f"(SELECT max(version) FROM headwater_events WHERE stream_id = ?) "
    f"FROM {_IN_STREAM} AND version >= ? AND version < ?"
)
_ID_AT: Final = (
    "coalesce((SELECT id FROM headwater_events WHERE position = {0}), "
    "(SELECT id FROM headwater_erased WHERE position = {0}))"
)
_HEAD_AND_IDS: Final = (
    f"(SELECT json_array(head.position, hex({_ID_AT.format('min(head.position, ?)')}), "
    f"hex({_ID_AT.format('?')})) FROM headwater_latest AS head)"
)
_decode_head_and_ids: Final = msgspec.json.Decoder(tuple[int, str, str]).decode
_decode_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_numbers: Final = msgspec.json.Decoder(list[int]).decode
_decode_texts: Final = msgspec.json.Decoder(list[str]).decode


def select_head(cursor: sqlite3.Cursor) -> int:
    """Return the log's last position."""
    (head,) = cursor.execute("SELECT position FROM headwater_latest").fetchone()
    return int(head)


def select_stream(
    cursor: sqlite3.Cursor, stream_id: str, *, from_version: int, backwards: bool, limit: int
) -> tuple[StoredEvent, ...]:
    """Return events of a stream from *from_version* on, in either direction."""
    comparison, order = ("<=", "DESC") if backwards else (">=", "ASC")
    rows = _EVENTS.select(
        cursor,
        f"(SELECT * FROM {_IN_STREAM} AND version {comparison} ? ORDER BY version {order} LIMIT ?)",
        (stream_id, from_version, limit),
    )
    return _events(rows)


def select_payloads(
    cursor: sqlite3.Cursor, stream_id: str, *, from_version: int, limit: int
) -> Sequence[StoredPayload]:
    """Return the payloads of a stream from *from_version* on."""
    end = from_version + limit
    try:
        versions, types, schema_versions, data, newest = cursor.execute(
            _SELECT_PAYLOADS, (stream_id, stream_id, from_version, end)
        ).fetchone()
    except sqlite3.DataError:
        # A text would be longer than SQLite allows (1 GB).
        return _payloads_by_row(cursor, stream_id, from_version=from_version, limit=limit)
    payloads = list(
        zip(
            _decode_numbers(versions),
            _decode_texts(types),
            _decode_numbers(schema_versions),
            _decode_texts(data),
            strict=True,
        )
    )
    if len(payloads) < limit and newest is not None and newest >= end:
        # Versions are missing in between, and a short page would look like the stream's end.
        return _payloads_by_row(cursor, stream_id, from_version=from_version, limit=limit)
    payloads.sort()
    return payloads


def _payloads_by_row(
    cursor: sqlite3.Cursor, stream_id: str, *, from_version: int, limit: int
) -> Sequence[StoredPayload]:
    return cursor.execute(
        f"SELECT version, type, schema_version, data FROM {_IN_STREAM} AND version >= ? "
        f"ORDER BY version LIMIT ?",
        (stream_id, from_version, limit),
    ).fetchall()


def select_page(
    cursor: sqlite3.Cursor, *, after: int, after_id: bytes | None, where: LogFilter, limit: int
) -> LogPage:
    """Return the matching events that stand after *after*, and how far the log was read.

    Raises:
        LogRewoundError: *after_id* is given, and the log is not the one in which it was read.
    """
    tags, scan_to = _tags_and_end(cursor, where.tags, after)
    terms = ["position > ?", "position <= ?"]
    values: list[Any] = [after, scan_to]
    for term, more in (*_terms(where), *_tagged(tags, after, scan_to)):
        terms.append(term)
        values += more
    source = f"headwater_events WHERE {' AND '.join(terms)} ORDER BY position LIMIT ?"
    rows, found = _EVENTS.select_with(
        cursor,
        _HEAD_AND_IDS,
        f"(SELECT * FROM {source})",
        (*values, limit),
        extra_values=(scan_to, scan_to, after, after),
    )
    head, last, there = _decode_head_and_ids(found)
    if after_id is not None and (after > head or bytes.fromhex(there) not in (b"", after_id)):
        raise LogRewoundError("A reader of the log", position=after, head=head)
    events = _events(rows)
    if len(events) == limit:
        return LogPage(events, events[-1].position, head, events[-1].id)
    scanned_to = max(after, min(head, scan_to))
    event_id = bytes.fromhex(last) if scanned_to <= head else b""
    return LogPage(events, scanned_to, head, event_id or None)


def select_receipt(
    cursor: sqlite3.Cursor, consumer: str, message_id: bytes
) -> StoredReceipt | None:
    """Return what is known of a message."""
    row = cursor.execute(
        "SELECT digest, outcome, position FROM headwater_receipts "
        "WHERE consumer = ? AND message_id = ?",
        (consumer, message_id),
    ).fetchone()
    return None if row is None else StoredReceipt(*row)


def _terms(where: LogFilter) -> Iterable[tuple[str, Sequence[Any]]]:
    if not where.internal:
        # "%" follows "$", and text compares by its bytes.
        yield "NOT (stream_id >= '$' AND stream_id < '%')", ()
    if not where.archived:
        yield "NOT archived", ()
    if where.types:
        yield f"type IN ({', '.join('?' * len(where.types))})", sorted(where.types)
    if where.tenants:
        yield f"tenant IN ({', '.join('?' * len(where.tenants))})", sorted(where.tenants)
    if where.categories:
        parts: list[str] = []
        bounds: list[str] = []
        for category in sorted(where.categories):
            # A category ends at the first "-", so a name with one in it is nobody's.
            if "-" not in category:
                parts.append("stream_id = ? OR (stream_id >= ? AND stream_id < ?)")
                bounds += [category, f"{category}-", f"{category}."]  # "." follows "-"
        yield f"({' OR '.join(parts) or '0'})", bounds


def _tags_and_end(
    cursor: sqlite3.Cursor, tags: Iterable[str], after: int
) -> tuple[Sequence[str], int]:
    """Return *tags*, the rarest from here on first, and where one page's look at them ends.

    What a page with tags costs is a matter of the events that have them, however long the log.
    """
    nth = (
        "SELECT position FROM headwater_event_tags WHERE tag = ? AND position > ? "
        "ORDER BY position LIMIT 1 OFFSET ?"
    )
    ends: list[tuple[int, str]] = []
    for tag in tags:
        found = cursor.execute(nth, (tag, after, SCAN_TAGGED_MAX)).fetchone()
        ends.append((_POSITION_MAX if found is None else found[0], tag))
    if not ends:
        return (), after + SCAN_POSITIONS_MAX
    ends.sort(reverse=True)
    return [tag for _, tag in ends], ends[0][0]


def _tagged(tags: Sequence[str], after: int, scan_to: int) -> Iterable[tuple[str, Sequence[Any]]]:
    if tags:
        found = "SELECT position FROM headwater_event_tags"
        yield (
            f"position IN ({found} WHERE tag = ? AND position > ? AND position <= ?)",
            (tags[0], after, scan_to),
        )
    same = "tag = ? AND other.position = headwater_events.position"
    for tag in tags[1:]:
        yield f"EXISTS (SELECT 1 FROM headwater_event_tags AS other WHERE other.{same})", (tag,)


def _events(rows: Iterable[_Row]) -> tuple[StoredEvent, ...]:
    ids = bytes.fromhex
    return tuple(
        [
            StoredEvent(
                position,
                stream_id,
                version,
                ids(id_),
                type_,
                schema_version,
                data,
                occurred_at,
                recorded_at,
                ids(correlation_id) if correlation_id else None,
                ids(causation_id) if causation_id else None,
                actor,
                tenant,
                traceparent,
                headers,
                _decode_tags(tags) if tags else (),
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
