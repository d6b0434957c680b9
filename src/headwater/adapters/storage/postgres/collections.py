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
    index_name,
)
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.index_values import value_in
from headwater.adapters.storage.postgres.transactions import writing
from headwater.errors import ConfigurationError
from headwater.ports.rows import CollectionSpec, IndexedField

DDL_SECONDS_MAX: Final = 3600.0
"""How long one statement may take that makes a table or an index, or empties a table."""


async def stored_collections(connection: Connection, schema: str) -> Sequence[Collection]:
    """Return the collections that were prepared in *schema* before, by name."""
    rows = await connection.fetch(f"SELECT spec, kept FROM {schema}.collections ORDER BY name")
    return [Collection(_spec(spec), schema, stored=_spec(kept)) for spec, kept in rows]


async def prepare(
    connection: Connection, specs: Sequence[CollectionSpec], *, schema: str, lock_seconds: float
) -> Sequence[Collection]:
    """Make the tables of collections what *specs* say, all of them or none; return them.

    Nothing is taken away: a process that names another field may be at work, or begin anew.

    Raises:
        ConfigurationError: an indexed field has become another kind, a unique index does not
            fit the rows, a name is taken by somebody else, or the role may not make tables;
            the error then holds the SQL to run.
    """
    collections = await _merged(connection, specs, schema)
    if not await _changed(connection, collections, schema):
        return collections
    statements: list[str] = []
    try:
        async with writing(connection, schema, lock_seconds=lock_seconds):
            names = [one.spec.name for one in collections]
            await lock_collections(connection, names, schema=schema)
            collections = await _merged(connection, specs, schema)
            before = await _changed(connection, collections, schema)
            for collection, spec in before:
                columns = await _columns(connection, collection.table)
                shown = await _columns(connection, collection.view)
                statements += _statements(collection, spec, columns, shown)
            for statement in statements:
                await connection.execute(statement, timeout=DDL_SECONDS_MAX)
            return collections
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


async def _merged(
    connection: Connection, specs: Iterable[CollectionSpec], schema: str
) -> Sequence[Collection]:
    """Return the collections of *specs*, with what is stored of them beyond that."""
    stored = {one.spec.name: one.kept for one in await stored_collections(connection, schema)}
    return [Collection(spec, schema, stored=stored.get(spec.name)) for spec in specs]


async def _changed(
    connection: Connection, collections: Iterable[Collection], schema: str
) -> Sequence[tuple[Collection, CollectionSpec | None]]:
    """Return the collections that are not as stored, each with what was kept of it."""
    stored = {one.spec.name: one for one in await stored_collections(connection, schema)}
    before = ((one, stored.get(one.spec.name)) for one in collections)
    return [
        (one, None if other is None else other.kept)
        for one, other in before
        if other is None or (other.spec, other.kept) != (one.spec, one.kept)
    ]


async def lock_collections(connection: Connection, names: Iterable[str], *, schema: str) -> None:
    """Wait for whoever makes or drops collections, and for the commits that write to these."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 2::bigint))", f"{schema}.collections"
    )
    wanted = sorted(names)
    await connection.execute(
        f"SELECT {schema}.lock_collections_v1($1::text[], $2::boolean[])",
        wanted,
        [True] * len(wanted),
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
    spec = _literal(msgspec.json.encode(collection.spec).decode())
    kept = _literal(msgspec.json.encode(collection.kept).decode())
    fields = _literal(",".join(sorted(field.name for field in collection.kept.indexed)))
    fills = {
        field.name: f"{_fill(collection, field)} WHERE r.key = ANY ($1)"
        for field in collection.kept.indexed
    }
    return [
        *statements,
        (
            f"INSERT INTO {collection.schema}.collections (name, spec, kept, fields, fills) VALUES "
            f"('{collection.spec.name}', {spec}, {kept}, string_to_array({fields}, ','), "
            f"{_literal(msgspec.json.encode(fills).decode())}) ON CONFLICT (name) DO UPDATE "
            f"SET spec = excluded.spec, kept = excluded.kept, fields = excluded.fields, "
            f"fills = excluded.fills"
        ),
    ]


def _spec(text: str) -> CollectionSpec:
    return msgspec.json.decode(text, type=CollectionSpec)


def _literal(text: str) -> str:
    # With a backslash in it only where the server takes those as they are.
    quoted = text.replace("'", "''").replace("\\", "\\\\")
    return f"E'{quoted}'"


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
    for name, field in ((field.name, field) for field in collection.kept.indexed):
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
            yield f"DROP INDEX {collection.schema}.{index_name(collection.spec.name, name)}"
        else:
            yield _fill(collection, field)
        yield _index(collection, field)


def _fill(collection: Collection, field: IndexedField) -> str:
    """Return what indexes rows by what their JSON says."""
    column = column_of(field.name)
    return f"UPDATE {collection.table} AS r SET {column} = {value_in('r.data', field)}"


def _index(collection: Collection, field: IndexedField) -> str:
    column = column_of(field.name)
    # With the key, so that pages of rows come sorted from the index.
    unique, columns = ("UNIQUE ", column) if field.unique else ("", f"{column} NULLS FIRST, key")
    name = index_name(collection.spec.name, field.name)
    return f"CREATE {unique}INDEX {name} ON {collection.table} ({columns})"


def _view(collection: Collection, create: str, shown: Iterable[str]) -> str:
    wanted = [identifier(field) for field in collection.kept.fields]
    members = [name for name in dict.fromkeys([*shown, *wanted]) if not name.startswith('"_')]
    columns = ["key AS _key", "version AS _version"]
    columns += [f"data ->> '{name[1:-1]}' AS {name}" for name in members]
    return f"{create} {collection.view} AS SELECT {', '.join(columns)} FROM {collection.table}"
