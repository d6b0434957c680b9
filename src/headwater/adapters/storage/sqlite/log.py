"""The statements that read streams and the log."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from headwater.adapters.storage.sqlite.schema import EVENT_COLUMNS
from headwater.ports.log import PAGE_EVENTS_MAX, LogFilter, LogPage, StoredEvent, StoredPayload
from headwater.ports.storage import StoredReceipt

SCAN_POSITIONS_MAX: Final = 2 * PAGE_EVENTS_MAX
"""How many positions one page looks through for events that match, so that it stays short."""

_TAGS: Final = 15
_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def select_head(cursor: sqlite3.Cursor) -> int:
    """Return the log's last position."""
    (head,) = cursor.execute("SELECT position FROM headwater_head").fetchone()
    return int(head)


def select_stream(
    cursor: sqlite3.Cursor, stream_id: str, *, from_version: int, backwards: bool, limit: int
) -> tuple[StoredEvent, ...]:
    """Return events of a stream from *from_version* on, in either direction."""
    comparison, order = ("<=", "DESC") if backwards else (">=", "ASC")
    rows = cursor.execute(
        f"SELECT {EVENT_COLUMNS} FROM headwater_events "
        f"WHERE stream_id = ? AND version {comparison} ? ORDER BY version {order} LIMIT ?",
        (stream_id, from_version, limit),
    ).fetchall()
    return _events(rows)


def select_payloads(
    cursor: sqlite3.Cursor, stream_id: str, *, from_version: int, limit: int
) -> Sequence[StoredPayload]:
    """Return the payloads of a stream from *from_version* on."""
    return cursor.execute(
        "SELECT version, type, schema_version, data FROM headwater_events "
        "WHERE stream_id = ? AND version >= ? ORDER BY version LIMIT ?",
        (stream_id, from_version, limit),
    ).fetchall()


def select_page(cursor: sqlite3.Cursor, *, after: int, where: LogFilter, limit: int) -> LogPage:
    """Return the matching events that stand after *after*, and how far the log was read."""
    head = select_head(cursor)
    if after >= head:
        return LogPage((), after, head)
    scan_to = min(head, after + SCAN_POSITIONS_MAX)
    terms = ["event.position > ?", "event.position <= ?"]
    values: list[Any] = [after, scan_to]
    source = "headwater_events AS event"
    for term, more in _terms(where):
        terms.append(term)
        values += more
    for number, tag in enumerate(sorted(where.tags)):
        terms.append(
            f"event.position IN (SELECT position FROM headwater_event_tags AS tag{number} "
            f"WHERE tag = ? AND position > ? AND position <= ?)"
        )
        values += [tag, after, scan_to]
    rows = cursor.execute(
        f"SELECT {EVENT_COLUMNS} FROM {source} WHERE {' AND '.join(terms)} "
        f"ORDER BY event.position LIMIT ?",
        (*values, limit),
    ).fetchall()
    return LogPage(_events(rows), rows[-1][0] if len(rows) == limit else scan_to, head)


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


def _terms(where: LogFilter) -> Iterable[tuple[str, Sequence[str]]]:
    if not where.internal:
        # "%" follows "$", and text compares by its bytes.
        yield "NOT (event.stream_id >= '$' AND event.stream_id < '%')", ()
    if where.types:
        marks = ", ".join("?" * len(where.types))
        yield f"event.type IN ({marks})", sorted(where.types)
    if where.categories:
        parts: list[str] = []
        bounds: list[str] = []
        for category in sorted(where.categories):
            # A category ends at the first "-", so a name with one in it is nobody's.
            if "-" not in category:
                parts.append(
                    "event.stream_id = ? OR (event.stream_id >= ? AND event.stream_id < ?)"
                )
                bounds += [category, f"{category}-", f"{category}."]  # "." follows "-"
        yield f"({' OR '.join(parts) or '0'})", bounds


def _events(rows: Iterable[tuple[Any, ...]]) -> tuple[StoredEvent, ...]:
    return tuple([_event(row) if row[_TAGS] else StoredEvent(*row[:_TAGS]) for row in rows])


def _event(row: Sequence[Any]) -> StoredEvent:
    return msgspec.structs.replace(StoredEvent(*row[:_TAGS]), tags=_decode_tags(row[_TAGS]))
