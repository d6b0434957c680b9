"""The statements that tell what is known of streams, and which there are."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from headwater.ports.log import StreamInfo, StreamState
from headwater.streams import INTERNAL_PREFIX

_AFTER_INTERNAL: Final = chr(ord(INTERNAL_PREFIX) + 1)
# Each looked for with one step in an index, however long the stream is.
_INFO: Final = (
    "SELECT name.stream_id, "
    "max(coalesce((SELECT max(version) FROM headwater_events AS event "
    "WHERE event.stream_id = name.stream_id), 0), coalesce(known.version, 0)), "
    "coalesce((SELECT min(version) FROM headwater_events AS event "
    "WHERE event.stream_id = name.stream_id), 0), "
    "coalesce(known.state, 'open') "
    "FROM {0} AS name LEFT JOIN headwater_streams AS known ON known.stream_id = name.stream_id"
)
_ONE: Final = _INFO.format("(SELECT ? AS stream_id)")
_NEXT: Final = (
    "(SELECT min(stream_id) FROM ("
    "SELECT min(stream_id) AS stream_id FROM headwater_events WHERE {0} "
    "UNION ALL SELECT min(stream_id) FROM headwater_streams WHERE {0}))"
)


def select_stream_info(cursor: sqlite3.Cursor, stream_id: str) -> StreamInfo:
    """Return what is known of a stream."""
    return _info(*cursor.execute(_ONE, (stream_id,)).fetchone())


def select_streams(
    cursor: sqlite3.Cursor, *, category: str | None, after: str, internal: bool, limit: int
) -> tuple[StreamInfo, ...]:
    """Return the streams that follow *after*, each found from the one before it."""
    found: list[StreamInfo] = []
    for first, end in _intervals(category, internal=internal):
        # No name has a control character, so what follows *after* follows this too.
        begin = max(first, f"{after}\0")
        if len(found) < limit and (end is None or begin < end):
            within = "" if end is None else " AND stream_id < :end"
            names = (
                f"(WITH RECURSIVE name (stream_id) AS ("
                f"SELECT {_NEXT.format(f'stream_id >= :begin{within}')} UNION ALL "
                f"SELECT {_NEXT.format(f'stream_id > name.stream_id{within}')} "
                f"FROM name WHERE name.stream_id IS NOT NULL LIMIT :limit) "
                f"SELECT stream_id FROM name WHERE stream_id IS NOT NULL)"
            )
            values = {"begin": begin, "end": end, "limit": limit - len(found)}
            rows = cursor.execute(f"{_INFO.format(names)} ORDER BY name.stream_id", values)
            found += [_info(*row) for row in rows.fetchall()]
    return tuple(found)


def _intervals(category: str | None, *, internal: bool) -> Iterator[tuple[str, str | None]]:
    """Yield from where and up to where (not included) the wanted names stand, in order."""
    if category is None:
        if internal:
            yield "", None
        else:
            yield "", INTERNAL_PREFIX
            yield _AFTER_INTERNAL, None
    elif "-" not in category and (internal or not category.startswith(INTERNAL_PREFIX)):
        # A category ends at the first "-"; "." follows "-".
        yield category, f"{category}\0"
        yield f"{category}-", f"{category}."


def _info(stream_id: str, version: int, first_version: int, state: str) -> StreamInfo:
    return StreamInfo(stream_id, version, first_version, StreamState(state))
