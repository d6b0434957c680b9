"""Rows of collections as a batch sees them: what is stored, and above it what it will write."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

from headwater.adapters.storage.sqlite.collection import Collection, column_of
from headwater.adapters.storage.sqlite.failures import not_prepared
from headwater.adapters.storage.sqlite.journal import Journal
from headwater.adapters.storage.sqlite.statements import (
    RowsAsJson,
    delete_in,
    insert_rows,
    select_in,
)
from headwater.errors import DuplicateValueError, RowConflictError
from headwater.ports.changes import IndexValue, RowChange, RowGuard
from headwater.ports.rows import IndexedField, IndexKind

_VERSIONS: Final = RowsAsJson(("_key", "_version"), tuple[str, int])
_Write: TypeAlias = tuple[Any, ...]  # key, version, data, indexed values …; or the key alone


class RowsOverlay:
    """Stages row changes in arrival order; `write` puts all that were accepted into tables."""

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        journal: Journal,
        collections: Mapping[str, Collection],
        *,
        row_version: int,
    ) -> None:
        self._cursor, self._journal = cursor, journal
        self._collections = collections
        self._state: dict[str, _CollectionOverlay] = {}
        self.row_version = row_version

    def load(self, guards: Sequence[RowGuard], rows: Sequence[RowChange]) -> None:
        """Look up the row versions and unique values that the changes will be compared with.

        Raises:
            ConfigurationError: a collection was dropped since the changes came.
        """
        guarded: dict[str, list[str]] = {}
        written: dict[str, list[RowChange]] = {}
        for guard in guards:
            guarded.setdefault(guard.collection, []).append(guard.key)
        for row in rows:
            written.setdefault(row.collection, []).append(row)
            if row.expected is not None:
                guarded.setdefault(row.collection, []).append(row.key)
        for name in guarded.keys() | written.keys():
            collection = self._collections.get(name)
            if collection is None:
                raise not_prepared(name)
            state = _CollectionOverlay(collection, self._journal)
            state.load(self._cursor, guarded.get(name, ()), written.get(name, ()))
            self._state[name] = state

    def check(self, guard: RowGuard) -> None:
        """Pass if the guarded row stands where the guard says.

        Raises:
            RowConflictError: it does not.
        """
        self._state[guard.collection].check(guard.key, guard.expected)

    def stage(self, row: RowChange) -> None:
        """Write *row* above what is stored.

        Raises:
            RowConflictError: it is not at its expected version.
            DuplicateValueError: another row has the value of a unique field.
        """
        state = self._state[row.collection]
        if row.expected is not None:
            state.check(row.key, row.expected)
        self.row_version += 1
        state.stage(row, self.row_version)

    def write(self) -> None:
        """Write the rows that were accepted."""
        for state in self._state.values():
            state.write(self._cursor)


class _CollectionOverlay:
    """The rows of one collection."""

    def __init__(self, collection: Collection, journal: Journal) -> None:
        self._collection, self._journal = collection, journal
        self._versions: dict[str, int] = {}
        # Per unique field: which row has a value, and which value a row has.
        self._owners: list[dict[IndexValue, str | None]] = []
        self._values: list[dict[str, IndexValue]] = []
        self._writes: list[_Write] = []

    def load(
        self, cursor: sqlite3.Cursor, guarded: Sequence[str], written: Sequence[RowChange]
    ) -> None:
        table, kinds = self._collection.table, self._collection.spec.indexed
        source = f"{table} WHERE _key IN (IN)"
        self._versions = dict(select_in(cursor, _VERSIONS, source, guarded))
        for place, field in self._collection.unique:
            wanted = {row.indexed[place] for row in written if row.data is not None} - {None}
            source = f"{table} WHERE {column_of(field)} IN (IN)"
            owners = _owners(cursor, kinds[place], source, wanted)
            self._owners.append(owners)
            self._values.append({key: value for value, key in owners.items() if key is not None})

    def check(self, key: str, expected: int) -> None:
        actual = self._versions.get(key, 0)
        if actual != expected:
            raise RowConflictError(
                self._collection.spec.name, key, expected=expected, actual=actual
            )

    def stage(self, row: RowChange, version: int) -> None:
        for number, (place, field) in enumerate(self._collection.unique):
            value = None if row.data is None else row.indexed[place]
            self._take(number, field, row.key, value)
        deleted = row.data is None
        self._journal.put(self._versions, row.key, 0 if deleted else version)
        write = (row.key,) if deleted else (row.key, version, row.data, *row.indexed)
        self._journal.push(self._writes, write)

    def _take(self, number: int, field: str, key: str, value: IndexValue) -> None:
        owners, values = self._owners[number], self._values[number]
        # SQLite stores NaN as NULL, and neither is ever a duplicate.
        value = None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
        owner = None if value is None else owners.get(value)
        if owner is not None and owner != key:
            raise DuplicateValueError(self._collection.spec.name, field, value, key)
        before = values.get(key)
        if before == value:
            return
        if before is not None:
            self._journal.put(owners, before, None)
        self._journal.put(values, key, value)
        if value is not None:
            self._journal.put(owners, value, key)

    def write(self, cursor: sqlite3.Cursor) -> None:
        writes: Sequence[_Write] = self._writes
        if not self._collection.unique:
            # Only the last write of a key will be seen. Where a value moves from row to row
            # each step counts, or a unique index would see it twice.
            writes = list({write[0]: write for write in writes}.values())
        table = self._collection.table
        for deleted, same in groupby(writes, key=lambda write: len(write) == 1):
            if deleted:
                delete_in(cursor, f"{table} WHERE _key IN (IN)", [key for (key,) in same])
            else:
                then = self._collection.on_conflict
                insert_rows(cursor, self._collection.into, [*same], then=then)


def _owners(
    cursor: sqlite3.Cursor, field: IndexedField, source: str, wanted: Iterable[IndexValue]
) -> dict[IndexValue, str | None]:
    """Return which row has each of the *wanted* values that one has."""
    column, kind = column_of(field.name), field.kind
    if kind is IndexKind.REAL:
        # JSON would round it.
        rows: Iterable[tuple[Any, str]] = (
            row
            for value in wanted
            for row in cursor.execute(
                f"SELECT {column}, _key FROM {source.replace('IN (IN)', '= ?')}", (value,)
            ).fetchall()
        )
        return dict(rows)
    if kind is IndexKind.BYTES:
        found = select_in(
            cursor, RowsAsJson((f"hex({column})", "_key"), tuple[str, str]), source, wanted
        )
        return {bytes.fromhex(value): key for value, key in found}
    pair: Any = tuple[str, str] if kind is IndexKind.TEXT else tuple[int, str]
    return dict(select_in(cursor, RowsAsJson((column, "_key"), pair), source, wanted))
