"""Makes the tables of collections, and fits those that are there to a new spec."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from headwater.adapters.storage.sqlite.collection import (
    COLUMN_TYPES,
    Collection,
    column_of,
    index_value,
    indexed_column,
)
from headwater.adapters.storage.sqlite.connections import writing
from headwater.adapters.storage.sqlite.schema import table_options
from headwater.errors import ConfigurationError
from headwater.ports.rows import CollectionSpec, IndexedField


def stored_collections(connection: sqlite3.Connection) -> list[Collection]:
    """Return the collections that were prepared in this file before."""
    found = connection.execute("SELECT spec FROM headwater_collections").fetchall()
    return [Collection(msgspec.json.decode(spec, type=CollectionSpec)) for (spec,) in found]


def prepare(
    connection: sqlite3.Connection, collections: Iterable[Collection], *, busy_seconds: float
) -> None:
    """Make the tables of *collections* what their specs say, all of them or none.

    Raises:
        ConfigurationError: an indexed field has become another kind, a unique index does not
            fit the rows, or a table of this name is somebody else's.
    """
    with writing(connection, busy_seconds=busy_seconds):
        before = {one.spec.name: one.spec for one in stored_collections(connection)}
        for collection in collections:
            name = collection.spec.name
            if before.get(name) == collection.spec:
                continue
            if name in before:
                _fit(connection, collection, before[name])
            else:
                _make(connection, collection)
            connection.execute(
                "INSERT INTO headwater_collections VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
                (name, msgspec.json.encode(collection.spec).decode()),
            )


def drop(connection: sqlite3.Connection, name: str, *, busy_seconds: float) -> None:
    """Delete a collection with all its rows, if there is one."""
    with writing(connection, busy_seconds=busy_seconds):
        for collection in stored_collections(connection):
            if collection.spec.name == name:
                connection.execute(f'DROP VIEW "{collection.view}"')
                connection.execute(f"DROP TABLE {collection.table}")
                connection.execute("DELETE FROM headwater_collections WHERE name = ?", (name,))


def _make(connection: sqlite3.Connection, collection: Collection) -> None:
    taken = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = ?", (collection.view,)
    ).fetchone()
    if taken:
        raise ConfigurationError(
            f"{collection.view!r} can't be a collection: the file has a table or view of this "
            f"name that is not Headwater's. Name the collection otherwise."
        )
    connection.execute(
        f"CREATE TABLE {collection.table} ({', '.join(collection.table_columns())}) "
        f"{table_options('WITHOUT ROWID')}"
    )
    for field in collection.spec.indexed:
        _make_index(connection, collection, field)
    _make_view(connection, collection, collection.spec.fields)


def _fit(connection: sqlite3.Connection, collection: Collection, before: CollectionSpec) -> None:
    table = collection.table
    columns = _columns(connection, table)
    known = {field.name: field for field in before.indexed}
    wanted = {field.name: field for field in collection.spec.indexed}
    for name in known.keys() - wanted.keys():
        connection.execute(f"DROP INDEX {_index(collection, name)}")
    for name, field in wanted.items():
        there = columns.get(column_of(name))
        if there not in (None, COLUMN_TYPES[field.kind]):
            raise ConfigurationError(
                f"{collection.spec.name!r}: {name!r} is stored as {there}, not as "
                f"{field.kind.value}. Use a new name for the new kind."
            )
        if known.get(name) == field:
            continue
        if there is None:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {indexed_column(field)}")
        if name in known:
            connection.execute(f"DROP INDEX {_index(collection, name)}")
        else:
            _fill(connection, collection, field)
        _make_index(connection, collection, field)
    shown = [name for name in _columns(connection, collection.view) if not name.startswith("_")]
    connection.execute(f'DROP VIEW "{collection.view}"')
    _make_view(connection, collection, dict.fromkeys([*shown, *collection.spec.fields]))


def _make_view(
    connection: sqlite3.Connection, collection: Collection, fields: Iterable[str]
) -> None:
    shown = [f"json_extract(_data, '$.{field}') AS \"{field}\"" for field in fields]
    connection.execute(
        f'CREATE VIEW "{collection.view}" AS '
        f"SELECT {', '.join([*shown, '*'])} FROM {collection.table}"
    )


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    rows: Sequence[tuple[str, str]] = connection.execute(
        "SELECT name, type FROM pragma_table_info(?)", (table,)
    ).fetchall()
    return dict(rows)


def _fill(connection: sqlite3.Connection, collection: Collection, field: IndexedField) -> None:
    """Index the rows that are there by what their JSON says."""
    connection.create_function("headwater_index_value", 3, index_value, deterministic=True)
    connection.execute(
        f"UPDATE {collection.table} "
        f"SET {column_of(field.name)} = headwater_index_value(_data, ?, ?)",
        (field.name, field.kind.value),
    )


def _make_index(
    connection: sqlite3.Connection, collection: Collection, field: IndexedField
) -> None:
    unique = "UNIQUE " if field.unique else ""
    try:
        connection.execute(
            f"CREATE {unique}INDEX {_index(collection, field.name)} "
            f"ON {collection.table} ({column_of(field.name)})"
        )
    except sqlite3.IntegrityError as error:
        raise ConfigurationError(
            f"{collection.spec.name!r}: {field.name!r} can't be unique, because several rows "
            f"have the same value. Mend them first."
        ) from error


def _index(collection: Collection, field: str) -> str:
    # A "." can't be in either name, so that no two indexes get one name.
    return f'"{collection.table}.{field}"'
