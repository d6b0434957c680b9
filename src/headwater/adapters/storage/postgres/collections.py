"""Makes the tables of collections, and fits those that are there to a new spec."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg
import msgspec

from headwater.adapters.storage.postgres.collection import (
    COLUMN_TYPES,
    Collection,
    column_of,
    column_type,
    identifier,
)
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.transactions import writing
from headwater.errors import ConfigurationError
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind

DDL_SECONDS_MAX: Final = 3600.0
"""How long one statement may take that makes a table or an index."""

_NUL: Final = r"'\u0000'"
_BASE64: Final = "'^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'"
# What a row is found by when only its JSON is at hand, as `Rows.prepare_collections` says.
_INDEX_VALUES: Final[Mapping[IndexKind, str]] = {
    IndexKind.TEXT: "CASE json_typeof(m) WHEN 'string' THEN m #>> '{}' END",
    IndexKind.INTEGER: (
        "CASE WHEN json_typeof(m) = 'boolean' THEN (m #>> '{}')::boolean::int::bigint "
        "WHEN json_typeof(m) = 'number' AND m::text ~ '^-?[0-9]{1,18}$' THEN (m::text)::bigint "
        "WHEN json_typeof(m) = 'number' AND m::text ~ '^-?[0-9]{19}$' AND (m::text)::numeric "
        "BETWEEN -9223372036854775808 AND 9223372036854775807 THEN (m::text)::bigint END"
    ),
    IndexKind.REAL: ("CASE json_typeof(m) WHEN 'number' THEN (m::text)::double precision END"),
    IndexKind.BYTES: (
        f"CASE WHEN json_typeof(m) = 'string' AND m #>> '{{}}' ~ {_BASE64} "
        f"THEN decode(m #>> '{{}}', 'base64') END"
    ),
}


async def stored_collections(connection: Connection, schema: str) -> Sequence[Collection]:
    """Return the collections that were prepared in *schema* before, by name."""
    rows = await connection.fetch(f"SELECT spec FROM {schema}.collections ORDER BY name")
    return [Collection(msgspec.json.decode(spec, type=CollectionSpec), schema) for (spec,) in rows]


async def prepare(
    connection: Connection, collections: Sequence[Collection], *, schema: str, lock_seconds: float
) -> None:
    """Make the tables of *collections* what their specs say, all of them or none.

    Raises:
        ConfigurationError: an indexed field has become another kind, a unique index does not
            fit the rows, a name is taken by somebody else, or the role may not make tables;
            the error then holds the SQL to run.
    """
    if not await _changed(connection, collections, schema):
        return
    statements: list[str] = []
    try:
        async with writing(connection, schema, lock_seconds=lock_seconds):
            await _lock(connection, collections, schema=schema)
            before = await _changed(connection, collections, schema)
            for collection, spec in before:
                columns = await _columns(connection, collection.table)
                shown = await _columns(connection, collection.view)
                statements += _statements(collection, spec, columns, shown)
            for statement in statements:
                await connection.execute(statement, timeout=DDL_SECONDS_MAX)
    except asyncpg.InsufficientPrivilegeError as error:
        if not statements:
            raise
        raise await _not_allowed(connection, collections, statements, error) from error
    except asyncpg.UniqueViolationError as error:
        raise ConfigurationError(
            f"A field can't be unique, because several rows have the same value ({error}: "
            f"{error.detail}). Mend them first."
        ) from error
    except (
        asyncpg.DuplicateTableError,
        asyncpg.DuplicateObjectError,
        asyncpg.WrongObjectTypeError,
    ) as error:
        raise ConfigurationError(
            f"A collection can't be made: the schema {schema!r} has something of this name that "
            f"is not Headwater's ({error}). Name the collection otherwise."
        ) from error


async def _changed(
    connection: Connection, collections: Iterable[Collection], schema: str
) -> Sequence[tuple[Collection, CollectionSpec | None]]:
    """Return the collections that are not as stored, each with its stored spec."""
    stored = {one.spec.name: one.spec for one in await stored_collections(connection, schema)}
    before = ((one, stored.get(one.spec.name)) for one in collections)
    return [(one, spec) for one, spec in before if spec != one.spec]


async def _lock(connection: Connection, collections: Iterable[Collection], *, schema: str) -> None:
    """Wait for other callers and for the commits that write to these collections."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2::bigint))", f"{schema}.collections"
    )
    names = sorted(one.spec.name for one in collections)
    await connection.execute(
        f"SELECT {schema}.lock_collections_v1($1::text[], $2::boolean[])",
        names,
        [True] * len(names),
    )


async def _columns(connection: Connection, table: str) -> Mapping[str, str]:
    """Return the names and types of the columns of *table*; none if it is not there."""
    rows = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        table,
    )
    return {f'"{name}"': kind for name, kind in rows}


async def _not_allowed(
    connection: Connection,
    collections: Iterable[Collection],
    statements: Sequence[str],
    error: asyncpg.InsufficientPrivilegeError,
) -> ConfigurationError:
    role: str = await connection.fetchval("SELECT quote_ident(current_user)")
    grants = [
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {one.table} TO {role}" for one in collections
    ]
    sql = "\n".join(f"{statement};" for statement in [*statements, *grants])
    return ConfigurationError(
        f"{role} may not make the tables of collections ({error}). Let their owner run:\n"
        f"BEGIN;\n{sql}\nCOMMIT;"
    )


# ------------------------------------------------------------------------------- what is to run


def _statements(
    collection: Collection,
    before: CollectionSpec | None,
    columns: Mapping[str, str],
    shown: Iterable[str],
) -> Sequence[str]:
    """Return what makes a table with *columns* and a view with *shown* what the spec says."""
    if before is None:
        statements = [*_making(collection), _view(collection, "CREATE VIEW", ())]
    else:
        statements = [*_fitting(collection, before, columns)]
        # What was shown once is shown for ever: a view can't lose a column.
        statements.append(_view(collection, "CREATE OR REPLACE VIEW", shown))
    spec = msgspec.json.encode(collection.spec).decode().replace("'", "''")
    return [
        *statements,
        (
            f"INSERT INTO {collection.schema}.collections (name, spec) "
            f"VALUES ('{collection.spec.name}', '{spec}') "
            f"ON CONFLICT (name) DO UPDATE SET spec = excluded.spec"
        ),
    ]


def _making(collection: Collection) -> Iterable[str]:
    columns = [
        'key text COLLATE "C" PRIMARY KEY',
        "version bigint NOT NULL",
        "data json NOT NULL",
        *(f"{column_of(field.name)} {column_type(field)}" for field in collection.spec.indexed),
    ]
    yield f"CREATE TABLE {collection.table} ({', '.join(columns)})"
    for field in collection.spec.indexed:
        yield _index(collection, field)


def _fitting(
    collection: Collection, before: CollectionSpec, columns: Mapping[str, str]
) -> Iterable[str]:
    known = {field.name: field for field in before.indexed}
    wanted = {field.name: field for field in collection.spec.indexed}
    for name in known.keys() - wanted.keys():
        yield f"DROP INDEX {collection.schema}.{_index_name(collection, name)}"
    for name, field in wanted.items():
        column = column_of(name)
        there = columns.get(column)
        if there not in (None, COLUMN_TYPES[field.kind]):
            raise ConfigurationError(
                f"{collection.spec.name!r}: {name!r} is stored as {there}, not as "
                f"{field.kind.value}. Use a new name for the new kind."
            )
        if known.get(name) == field:
            continue
        if there is None:
            yield f"ALTER TABLE {collection.table} ADD COLUMN {column} {column_type(field)}"
        if name in known:
            yield f"DROP INDEX {collection.schema}.{_index_name(collection, name)}"
        else:
            yield _fill(collection, field)
        yield _index(collection, field)


def _fill(collection: Collection, field: IndexedField) -> str:
    """Return what indexes the rows that are there by what their JSON says."""
    # PostgreSQL can't take a member out of a document that holds a NUL anywhere.
    document = (
        f"CASE WHEN strpos(data::text, {_NUL}) = 0 THEN data "
        f"ELSE replace(data::text, {_NUL}, '\\u2400')::json END"
    )
    return (
        f"UPDATE {collection.table} AS r SET {column_of(field.name)} = "
        f"{_INDEX_VALUES[field.kind]} FROM (SELECT key AS k, ({document}) -> '{field.name}' "
        f"AS m FROM {collection.table}) AS members WHERE r.key = k"
    )


def _index(collection: Collection, field: IndexedField) -> str:
    column = column_of(field.name)
    # With the key, so that pages of rows come sorted from the index.
    unique, columns = ("UNIQUE ", column) if field.unique else ("", f"{column} NULLS FIRST, key")
    name = _index_name(collection, field.name)
    return f"CREATE {unique}INDEX {name} ON {collection.table} ({columns})"


def _index_name(collection: Collection, field: str) -> str:
    # A "." can't be in either name, so that no two indexes get one name.
    return identifier(f"rows_{collection.spec.name}.{field}")


def _view(collection: Collection, create: str, shown: Iterable[str]) -> str:
    wanted = [identifier(field) for field in collection.spec.fields]
    members = [name for name in dict.fromkeys([*shown, *wanted]) if not name.startswith('"_')]
    columns = ["key AS _key", "version AS _version"]
    columns += [f"data ->> '{name[1:-1]}' AS {name}" for name in members]
    return f"{create} {collection.view} AS SELECT {', '.join(columns)} FROM {collection.table}"
