"""The statements that read rows of collections."""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.statements import (
    KEYS_MAX,
    RowsAsJson,
    one_moment,
    select_in,
)
from headwater.ports.changes import IndexValue
from headwater.ports.rows import Comparison, Condition, Row, RowQuery

_ROWS: Final = RowsAsJson(("_key", "_version", "_data"), tuple[str, int, str])


def select_rows(
    cursor: sqlite3.Cursor, collection: Collection, keys: Sequence[str]
) -> Mapping[str, Row]:
    """Return the rows that exist under *keys*."""
    source = f"{collection.table} WHERE _key IN (IN)"
    with one_moment(cursor) if len(keys) > KEYS_MAX else nullcontext():
        return {row[0]: Row(*row) for row in select_in(cursor, _ROWS, source, dict.fromkeys(keys))}


def select_found(
    cursor: sqlite3.Cursor, collection: Collection, query: RowQuery
) -> tuple[Row, ...]:
    """Return the rows that match *query*, sorted."""
    where, values = _where(collection, query.conditions)
    order = [
        f"{collection.column(field)} {'DESC' if descending else 'ASC'}"
        for field, descending in query.order_by
    ]
    found = _ROWS.select(
        cursor,
        f"(SELECT _key, _version, _data FROM {collection.table}{where} "
        f"ORDER BY {', '.join([*order, '_key'])} LIMIT ? OFFSET ?)",
        (*values, query.limit, query.offset),
    )
    return tuple([Row(*row) for row in found])


def select_count(
    cursor: sqlite3.Cursor, collection: Collection, conditions: Sequence[Condition]
) -> int:
    """Return how many rows meet *conditions*."""
    where, values = _where(collection, conditions)
    sql = f"SELECT count(*) FROM {collection.table}{where}"
    (count,) = cursor.execute(sql, values).fetchone()
    return int(count)


def _where(
    collection: Collection, conditions: Sequence[Condition]
) -> tuple[str, Sequence[IndexValue]]:
    terms: list[str] = []
    values: list[IndexValue] = []
    for condition in conditions:
        collection.check_condition(condition)
        term, more = _term(collection.column(condition.field), condition)
        terms.append(f"({term})")
        values += more
    return (f" WHERE {' AND '.join(terms)}" if terms else ""), values


def _term(column: str, condition: Condition) -> tuple[str, Sequence[IndexValue]]:
    """Return a comparison in which NULL equals NULL and precedes everything else."""
    if isinstance(condition.value, tuple):
        return _one_of(column, condition.value)
    value = _stored(condition.value)
    match condition.comparison:
        case Comparison.EQUAL:
            return f"{column} IS ?", (value,)
        case Comparison.NOT_EQUAL:
            return f"{column} IS NOT ?", (value,)
        case Comparison.LESS:
            return ("0", ()) if value is None else (f"{column} < ? OR {column} IS NULL", (value,))
        case Comparison.LESS_OR_EQUAL:
            term = f"{column} IS NULL"
            return (term, ()) if value is None else (f"{column} <= ? OR {term}", (value,))
        case Comparison.GREATER:
            if value is None:
                return f"{column} IS NOT NULL", ()
            return f"{column} > ?", (value,)
        case _:
            return ("1", ()) if value is None else (f"{column} >= ?", (value,))


def _one_of(column: str, values: Sequence[IndexValue]) -> tuple[str, Sequence[IndexValue]]:
    stored = [_stored(one) for one in values]
    known = [one for one in stored if one is not None]
    term = f"{column} IN ({', '.join('?' * len(known))})"
    return (f"{term} OR {column} IS NULL" if None in stored else term), known


def _stored(value: IndexValue) -> IndexValue:
    # SQLite has no NaN and stores NULL for it.
    return None if isinstance(value, float) and math.isnan(value) else value
