"""A collection as a table: its columns, its indexes and the statements that write it."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import msgspec

from headwater.errors import ConfigurationError
from headwater.ports.changes import IndexValue, RowChange
from headwater.ports.rows import (
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    check_names,
)

_RESERVED: Final = ("headwater_", "sqlite_")
COLUMN_TYPES: Final = {
    IndexKind.TEXT: "TEXT",
    IndexKind.INTEGER: "INTEGER",
    IndexKind.REAL: "REAL",
    IndexKind.BYTES: "BLOB",
}
_PYTHON_TYPES: Final[Mapping[IndexKind, frozenset[type]]] = {
    IndexKind.TEXT: frozenset({str}),
    IndexKind.INTEGER: frozenset({int, bool}),
    IndexKind.REAL: frozenset({float, int}),
    IndexKind.BYTES: frozenset({bytes}),
}


class Collection:
    """The table of a collection, and the view that shows it to plain SQL.

    The table has `_key`, `_version` and `_data`, and `_ix_<field>` with what an indexed field
    sorts by. The view is named as the collection and has a column for each JSON member beside
    them. (Generated columns in the table would do too, but SQLite works them out at each write.)
    Every identifier in a statement has matched the pattern.
    """

    __slots__ = ("into", "on_conflict", "places", "spec", "table", "unique", "view")

    def __init__(self, spec: CollectionSpec) -> None:
        check_names(spec)
        self.spec = spec
        self.table = f"headwater_rows_{spec.name}"
        # SQLite keeps sqlite_… to itself and we headwater_…; no collection begins with "_".
        self.view = f"_{spec.name}" if spec.name.startswith(_RESERVED) else spec.name
        self.places = {field.name: place for place, field in enumerate(spec.indexed)}
        self.unique = tuple(
            (place, field.name) for place, field in enumerate(spec.indexed) if field.unique
        )
        columns = ["_version", "_data", *(column_of(field.name) for field in spec.indexed)]
        self.into = f"{self.table} (_key, {', '.join(columns)})"
        self.on_conflict = "ON CONFLICT (_key) DO UPDATE SET " + ", ".join(
            f"{column} = excluded.{column}" for column in columns
        )

    def column(self, field: str) -> str:
        """Return the column that *field* is found by.

        Raises:
            ConfigurationError: the field is not indexed.
        """
        if field not in self.places:
            known = ", ".join(self.places) or "none"
            raise ConfigurationError(
                f"{self.spec.name!r} is not indexed by {field!r}; its indexed fields are: {known}."
            )
        return column_of(field)

    def check_condition(self, condition: Condition) -> None:
        """Pass if the condition's value is of the kind that its field is stored as.

        Raises:
            ConfigurationError: it is not, or the field is not indexed.
        """
        self.column(condition.field)
        kind = self.spec.indexed[self.places[condition.field]].kind
        value = condition.value
        several = isinstance(value, tuple)
        values = value if isinstance(value, tuple) else (value,)
        if several is not (condition.comparison is Comparison.ONE_OF) or not all(
            one is None or type(one) in _PYTHON_TYPES[kind] for one in values
        ):
            raise ConfigurationError(
                f"{self.spec.name!r}: {condition.field!r} is stored as {kind.value} and can't be "
                f"compared by {condition.comparison.value!r} with {value!r}."
            )

    def check_row(self, row: RowChange) -> None:
        """Pass if *row* has a value for each indexed field.

        Raises:
            ConfigurationError: it has more or fewer.
        """
        if row.data is not None and len(row.indexed) != len(self.spec.indexed):
            raise ConfigurationError(
                f"Row {row.key!r} of {self.spec.name!r} has {len(row.indexed)} indexed values; "
                f"the collection has {len(self.spec.indexed)} indexed fields."
            )

    def table_columns(self) -> tuple[str, ...]:
        """Return the definitions of the table's columns."""
        return (
            "_key TEXT PRIMARY KEY NOT NULL",
            "_version INTEGER NOT NULL",
            "_data TEXT NOT NULL",
            *(indexed_column(field) for field in self.spec.indexed),
        )


def column_of(field: str) -> str:
    """Return the column that holds what *field* sorts by."""
    return f"_ix_{field}"


def indexed_column(field: IndexedField) -> str:
    """Return the definition of the column that *field* is found by."""
    return f"{column_of(field.name)} {COLUMN_TYPES[field.kind]}"


def index_value(data: str, field: str, kind: str) -> IndexValue:
    """Return what a row is found by when only its JSON is at hand, as `Rows` promises it."""
    value = msgspec.json.decode(data, type=dict[str, object]).get(field)
    match IndexKind(kind), value:
        case IndexKind.TEXT, str():
            return value
        case IndexKind.INTEGER, int():
            return int(value)
        case IndexKind.REAL, int() | float() if not isinstance(value, bool):
            return float(value)
        case IndexKind.BYTES, str():
            try:
                return base64.b64decode(value, validate=True)
            except binascii.Error:
                return None
        case _:
            return None
