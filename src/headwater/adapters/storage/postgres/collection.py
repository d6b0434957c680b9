"""A collection as a table: its name, its columns, and what may be written to it."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

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

IDENTIFIER_LENGTH_MAX: Final = 63
"""PostgreSQL cuts longer names off without an error."""

COLUMN_TYPES: Final[Mapping[IndexKind, str]] = {
    IndexKind.TEXT: "text",
    IndexKind.INTEGER: "bigint",
    IndexKind.REAL: "double precision",
    IndexKind.BYTES: "bytea",
}
_PYTHON_TYPES: Final[Mapping[IndexKind, frozenset[type]]] = {
    IndexKind.TEXT: frozenset({str}),
    IndexKind.INTEGER: frozenset({int, bool}),
    IndexKind.REAL: frozenset({float, int}),
    IndexKind.BYTES: frozenset({bytes}),
}
# Names that the storage's own tables, indexes and types have or may get.
_RESERVED: Final = re.compile(
    r"(meta|head|log|writers|collections|lease_workers)(_pkey)?\Z|(row_versions|lease_tokens)\Z"
    r"|(rows|events?|erased_events|streams|receipts|checkpoints|outbox)(_|\Z)"
)


class Collection:
    """The table of a collection, and the view that shows it to plain SQL.

    The table has `key`, `version` and `data`, and for each indexed field a column with what it
    sorts by: `columns` and `types` are in the order of the spec. `unique` holds the place and
    name of each unique field. All names are quoted, and `table` and `view` are qualified.
    `kept` is the spec with what other code has named; `others` are indexed fields of only that.
    """

    __slots__ = (
        *("columns", "kept", "others", "places", "schema", "spec", "table", "types"),
        *("unique", "view"),
    )

    def __init__(
        self, spec: CollectionSpec, schema: str, *, stored: CollectionSpec | None = None
    ) -> None:
        check_names(spec)
        self.spec: Final = spec
        self.kept: Final = spec if stored is None else _merged(stored, spec)
        named = {field.name for field in spec.indexed}
        self.others: Final = tuple(one for one in self.kept.indexed if one.name not in named)
        self.schema: Final = schema
        self.table: Final = f"{schema}.{identifier(f'rows_{spec.name}')}"
        # No collection begins with "_", and nothing of the storage's own does.
        shown = f"_{spec.name}" if _RESERVED.match(spec.name) else spec.name
        self.view: Final = f"{schema}.{identifier(shown)}"
        self.columns: Final = tuple(column_of(field.name) for field in spec.indexed)
        self.types: Final = tuple(COLUMN_TYPES[field.kind] for field in spec.indexed)
        self.places: Final = {field.name: place for place, field in enumerate(spec.indexed)}
        self.unique: Final = tuple(
            (place, field.name) for place, field in enumerate(spec.indexed) if field.unique
        )

    def field(self, name: str) -> IndexedField:
        """Return the indexed field *name*.

        Raises:
            ConfigurationError: the field is not indexed.
        """
        place = self.places.get(name)
        if place is None:
            known = ", ".join(self.places) or "none"
            raise ConfigurationError(
                f"{self.spec.name!r} is not indexed by {name!r}; its indexed fields are: {known}."
            )
        return self.spec.indexed[place]

    def check_condition(self, condition: Condition) -> IndexedField:
        """Return the condition's field if its value is of the kind that the field is stored as.

        Raises:
            ConfigurationError: it is not, or the field is not indexed.
        """
        field, value = self.field(condition.field), condition.value
        several = isinstance(value, tuple)
        values = value if isinstance(value, tuple) else (value,)
        if several is not (condition.comparison is Comparison.ONE_OF) or not all(
            one is None or type(one) in _PYTHON_TYPES[field.kind] for one in values
        ):
            raise ConfigurationError(
                f"{self.spec.name!r}: {condition.field!r} is stored as {field.kind.value} and "
                f"can't be compared by {condition.comparison.value!r} with {value!r}."
            )
        return field

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


def _merged(stored: CollectionSpec, spec: CollectionSpec) -> CollectionSpec:
    """Return *stored* with what *spec* changes and adds, in an order that stays."""
    known = {field.name: field for field in stored.indexed}
    known.update((field.name, field) for field in spec.indexed)
    fields = dict.fromkeys((*stored.fields, *spec.fields))
    return CollectionSpec(spec.name, tuple(fields), tuple(known.values()))


def not_prepared(name: str) -> ConfigurationError:
    """Return the error for a collection that was dropped, or made anew without a field."""
    return ConfigurationError(
        f"The collection {name!r} was dropped since it was prepared, or made anew with other "
        f"fields; call prepare_collections again."
    )


def identifier(name: str) -> str:
    """Return *name* quoted, and shortened to one that no other name is shortened to."""
    if len(name) > IDENTIFIER_LENGTH_MAX:
        # A "." can't be in a name that somebody chose.
        end = f".{sha256(name.encode()).hexdigest()[:10]}"
        name = name[: IDENTIFIER_LENGTH_MAX - len(end)] + end
    return f'"{name}"'


def column_of(field: str) -> str:
    """Return the column that holds what *field* sorts by."""
    return identifier(f"ix_{field}")


def index_name(collection: str, field: str) -> str:
    """Return the name of the index that *field* of a collection is found by."""
    # A "." can't be in either name, so that no two indexes get one name.
    return identifier(f"rows_{collection}.{field}")


def column_type(field: IndexedField) -> str:
    """Return the type of the column that *field* is found by, with its collation."""
    kind = COLUMN_TYPES[field.kind]
    return f'{kind} COLLATE "C"' if field.kind is IndexKind.TEXT else kind


def stored_value(value: IndexValue, kind: IndexKind) -> IndexValue:
    """Return what is stored of an indexed value: NULL for NaN, whole numbers as their column's.

    A value of another kind comes back as it is, for the server to refuse.
    """
    if kind is IndexKind.INTEGER and isinstance(value, bool):
        return int(value)
    if kind is IndexKind.REAL and isinstance(value, int | float):
        return None if value != value else float(value)  # noqa: PLR0124 - only NaN does so
    return value
