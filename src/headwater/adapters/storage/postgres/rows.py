"""The statements that read rows of collections."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg

from headwater.adapters.storage.postgres.collection import (
    COLUMN_TYPES,
    Collection,
    column_of,
    not_prepared,
    stored_value,
)
from headwater.adapters.storage.postgres.connections import Connection
from headwater.ports.changes import IndexValue
from headwater.ports.rows import Comparison, Condition, Row, RowQuery


@contextmanager
def used(collection: Collection) -> Generator[None, None, None]:
    """Say of a table or column that is not there any more that *collection* was dropped."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise not_prepared(collection.spec.name) from error


async def get_rows(
    connection: Connection, collection: Collection, keys: Sequence[str]
) -> Mapping[str, Row]:
    """Return the rows that exist under *keys*, by key."""
    sql = f"SELECT key, version, data FROM {collection.table} WHERE key = ANY($1::text[])"
    with used(collection):
        return {row[0]: Row(*row) for row in await connection.fetch(sql, list(keys))}


async def find_rows(
    connection: Connection, collection: Collection, query: RowQuery
) -> tuple[Row, ...]:
    """Return the rows that match *query*, sorted."""
    order: list[str] = []
    for name, descending in query.order_by:
        column = column_of(collection.field(name).name)
        order.append(f"{column} DESC NULLS LAST" if descending else f"{column} ASC NULLS FIRST")
    where, values = _where(collection, query.conditions)
    sql = (
        f"SELECT key, version, data FROM {collection.table}{where} "
        f"ORDER BY {', '.join([*order, 'key'])} "
        f"LIMIT ${len(values) + 1}::bigint OFFSET ${len(values) + 2}::bigint"
    )
    with used(collection):
        rows = await connection.fetch(sql, *values, query.limit, query.offset)
    return tuple([Row(*row) for row in rows])


async def count_rows(
    connection: Connection, collection: Collection, conditions: Sequence[Condition]
) -> int:
    """Return how many rows meet all *conditions*."""
    where, values = _where(collection, conditions)
    with used(collection):
        count: int = await connection.fetchval(
            f"SELECT count(*) FROM {collection.table}{where}", *values
        )
    return count


def _where(collection: Collection, conditions: Sequence[Condition]) -> tuple[str, Sequence[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    for condition in conditions:
        field = collection.check_condition(condition)
        column, place = column_of(field.name), len(values) + 1
        parameter = f"${place}::{COLUMN_TYPES[field.kind]}"
        if isinstance(condition.value, tuple):
            stored = [stored_value(one, field.kind) for one in condition.value]
            known = [one for one in stored if one is not None]
            term = f"{column} = ANY({parameter}[])"
            terms.append(f"({term} OR {column} IS NULL)" if len(known) < len(stored) else term)
            values.append(known)
            continue
        value = stored_value(condition.value, field.kind)
        terms.append(f"({_term(column, condition.comparison, value, parameter)})")
        if value is not None:
            values.append(value)
    return (f" WHERE {' AND '.join(terms)}" if terms else ""), values


def _term(column: str, comparison: Comparison, value: IndexValue, parameter: str) -> str:
    """Return a comparison in which NULL equals NULL and precedes everything else."""
    null = value is None
    match comparison:
        case Comparison.EQUAL:
            return f"{column} IS NULL" if null else f"{column} = {parameter}"
        case Comparison.NOT_EQUAL:
            return f"{column} IS NOT NULL" if null else f"{column} IS DISTINCT FROM {parameter}"
        case Comparison.LESS:
            return "false" if null else f"{column} < {parameter} OR {column} IS NULL"
        case Comparison.LESS_OR_EQUAL:
            term = f"{column} IS NULL"
            return term if null else f"{column} <= {parameter} OR {term}"
        case Comparison.GREATER:
            return f"{column} IS NOT NULL" if null else f"{column} > {parameter}"
        case _:
            return "true" if null else f"{column} >= {parameter}"
