"""Typed rows in named collections: read models, and aggregates stored as state."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from headwater.errors import InvalidNameError
from headwater.ports.changes import IndexValue

ROWS_MAX: Final = 10_000
"""The most rows that one `find_rows` may return; a larger `limit` is refused."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


class IndexKind(Enum):
    """How an indexed field is stored: as SQL text, integer, real or blob.

    Text sorts by Unicode code point, bytes by value. NaN is stored as NULL, as JSON does.
    """

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BYTES = "bytes"


class IndexedField(msgspec.Struct, frozen=True):
    """A field of a collection that rows can be found and sorted by."""

    name: str
    kind: IndexKind
    unique: bool = False


class CollectionSpec(msgspec.Struct, frozen=True):
    """A named set of rows.

    `name` and field names match ``[a-z][a-z0-9_]{0,62}``. `fields` are all JSON members of a row (a
    storage shows them as columns to plain SQL where it can); `indexed` those to find by.
    """

    name: str
    fields: tuple[str, ...]
    indexed: tuple[IndexedField, ...] = ()


def check_names(spec: CollectionSpec) -> None:
    """Pass if the collection and its fields can be named so in SQL.

    Raises:
        InvalidNameError: one can't.
    """
    names = [("collection name", spec.name)]
    names += [("field name", name) for name in spec.fields]
    names += [("field name", field.name) for field in spec.indexed]
    for kind, name in names:
        if _NAME.match(name) is None:
            raise InvalidNameError(
                kind, name, "it must begin with a-z and hold at most 63 of a-z, 0-9 and _"
            )


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row as stored. `version` is above 0, changes with every write of the row, and is never
    given twice for one key, also not after a deletion."""

    key: str
    version: int
    data: str


class Comparison(Enum):
    """How `Condition` compares a field with a value. NULL equals NULL and precedes all."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    ONE_OF = "in"


class Condition(msgspec.Struct, frozen=True):
    """An indexed field compared with a value (for ONE_OF: with each of a tuple of values)."""

    field: str
    comparison: Comparison
    value: IndexValue | tuple[IndexValue, ...]


class RowQuery(msgspec.Struct, frozen=True):
    """Rows for which all conditions hold, sorted, with ties and the default order by key.

    `order_by` holds (indexed field, descending).
    """

    conditions: tuple[Condition, ...] = ()
    order_by: tuple[tuple[str, bool], ...] = ()
    limit: int = 100
    offset: int = 0


class Rows(Protocol):
    """Reads rows; they are written by `commit`. Keys sort by Unicode code point.

    All methods raise `StorageClosedError` before `open` and after `close`, and
    `ConfigurationError` for a collection that was not prepared or a field that is not indexed.
    """

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make room for the collections; what is there already stays.

        A field that has become indexed is indexed for the rows that are there, by its JSON
        member: a string for TEXT, an integer or boolean for INTEGER, a number for REAL, base64
        text for BYTES, NULL for anything else. One that is not in the spec any more keeps its
        column and can't be found by. A storage that others share may keep it unique and indexed,
        because code that names it may still be at work; to end that, name the field as not
        unique. Called twice, the second does nothing; if it raises, nothing was made.

        Raises:
            InvalidNameError: a name can't be one in SQL.
            ConfigurationError: an indexed field has become another kind, or a unique index
                does not fit the rows that are there.
        """
        ...

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return the rows that exist under *keys*, by key."""
        ...

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match, at most `RowQuery.limit` of them after `RowQuery.offset`.

        Raises:
            ValueError: the limit is outside 1 … `ROWS_MAX`, or the offset below 0.
        """
        ...

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        ...
