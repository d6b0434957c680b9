"""The statements that say what is known of streams."""

from collections.abc import Iterable
from typing import Final, TypeAlias

import asyncpg

from headwater.adapters.storage.postgres.connections import Connection
from headwater.ports.log import StreamInfo, StreamState
from headwater.streams import INTERNAL_PREFIX

_AFTER_INTERNAL: Final = chr(ord(INTERNAL_PREFIX) + 1)
_FIRST: Final = "\x01"
"""Sorts before every character that a stream id can hold; PostgreSQL's texts hold no NUL."""

_INFO: Final = (
    "SELECT {name}, greatest("
    "(SELECT max(version) FROM {schema}.events WHERE stream_id = {name}), "
    "(SELECT version FROM {schema}.streams WHERE stream_id = {name}), 0), "
    "coalesce((SELECT min(version) FROM {schema}.events WHERE stream_id = {name}), 0), "
    "coalesce((SELECT state FROM {schema}.streams WHERE stream_id = {name}), 'open')"
)
# From one name to the next along the index, and not over all events: a stream may have many.
_NEXT: Final = (
    "least((SELECT stream_id FROM {schema}.events WHERE stream_id {after} "
    "ORDER BY stream_id, version LIMIT 1), "
    "(SELECT stream_id FROM {schema}.streams WHERE stream_id {after} "
    "AND (version > 0 OR state <> 'open') ORDER BY stream_id LIMIT 1))"
)
_INSIDE: Final = "name IS NOT NULL AND ($2::text IS NULL OR name < $2)"
_NAMES: Final = (
    "WITH RECURSIVE names (name) AS ("
    f"SELECT {{first}} UNION ALL SELECT {{next}} FROM names WHERE {_INSIDE}) "
    f"SELECT name FROM names WHERE {_INSIDE} LIMIT $3"
)
_Range: TypeAlias = tuple[str, str | None]


class StreamStatements:
    """What is known of the streams in one schema."""

    def __init__(self, schema: str) -> None:
        self._info: Final = _INFO.format(schema=schema, name="$1::text")
        names = _NAMES.format(
            first=_NEXT.format(schema=schema, after=">= $1"),
            next=_NEXT.format(schema=schema, after="> name"),
        )
        info = _INFO.format(schema=schema, name="name")
        self._infos: Final = f"{info} FROM ({names}) AS n ORDER BY name"

    async def info(self, connection: Connection, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        row = await connection.fetchrow(self._info, stream_id)
        return StreamInfo(stream_id, 0, 0) if row is None else _stream_info(row)

    async def infos(
        self,
        connection: Connection,
        *,
        category: str | None,
        after: str,
        internal: bool,
        limit: int,
    ) -> tuple[StreamInfo, ...]:
        """Return the streams after *after*, as `Log.read_streams` says."""
        found: list[StreamInfo] = []
        for low, high in _ranges(category, after + _FIRST, internal=internal):
            rows = await connection.fetch(self._infos, low, high, limit - len(found))
            found += map(_stream_info, rows)
            if len(found) == limit:
                break
        return tuple(found)


def _ranges(category: str | None, least: str, *, internal: bool) -> Iterable[_Range]:
    """Return where the wanted names lie, ascending; each from a name on and below another."""
    ranges: list[_Range]
    if category is None:
        ranges = [("", None)] if internal else [("", INTERNAL_PREFIX), (_AFTER_INTERNAL, None)]
    elif "-" in category or (category.startswith(INTERNAL_PREFIX) and not internal):
        # A category ends at the first "-", so a name with one in it is nobody's.
        ranges = []
    else:
        ranges = [(category, category + _FIRST), (f"{category}-", f"{category}.")]
    for low, high in ranges:
        if high is None or least < high:
            yield max(low, least), high


def _stream_info(row: asyncpg.Record) -> StreamInfo:
    stream_id, version, first_version, state = row
    return StreamInfo(stream_id, version, first_version, StreamState(state))
