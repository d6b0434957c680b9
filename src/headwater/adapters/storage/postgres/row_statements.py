"""The statements that compare and write the rows of a collection within a commit.

The functions in ``sql/`` run them; ``$1`` and so on are theirs to fill. Indexed values come as the
text of a JSON array, because each collection has others.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from headwater.adapters.storage.postgres.collection import Collection, column_of
from headwater.adapters.storage.postgres.index_values import value_in
from headwater.ports.changes import IndexValue

_encode: Final = msgspec.json.encode


class RowStatements:
    """What a commit does to the rows of one collection."""

    __slots__ = ("check", "collection", "delete", "each", "fields", "unique", "write")

    def __init__(self, collection: Collection) -> None:
        table, columns = collection.table, collection.columns
        self.collection: Final = collection
        self.check: Final = (
            f"WITH locked AS MATERIALIZED (SELECT t.key, t.version FROM {table} AS t "
            f"WHERE t.key = ANY ($1::text[]) ORDER BY t.key FOR UPDATE) "
            f"SELECT min(u.member) FROM unnest($1::text[], $2::bigint[], $3::integer[]) "
            f"AS u (key, expected, member) LEFT JOIN locked AS l ON l.key = u.key "
            f"WHERE u.expected IS NOT NULL AND coalesce(l.version, 0) <> u.expected"
        )
        taken = " OR ".join(
            f"EXISTS (SELECT FROM {table} AS t WHERE t.{columns[place]} = "
            f"{_value(collection, place, 'u.indexed::json')} AND t.key <> u.key)"
            for place, _ in collection.unique
        )
        self.unique: Final = taken and (
            f"SELECT min(u.member) FROM unnest($1::text[], $2::text[], $3::integer[]) "
            f"AS u (key, indexed, member) WHERE {taken}"
        )
        names = ["version", "data", *columns]
        values = [_value(collection, place, "u.indexed::json") for place in range(len(columns))]
        # What other code finds the rows by.
        names += [column_of(field.name) for field in collection.others]
        values += [value_in("u.data", field) for field in collection.others]
        self.fields: Final = sorted(field.name for field in collection.kept.indexed)
        self.write: Final = (
            f"INSERT INTO {table} (key, {', '.join(names)}) SELECT "
            f"{', '.join(['u.key', _next_version(collection), 'u.data::json', *values])} "
            f"FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[]) "
            f"AS u (key, data, indexed, member) WHERE $5::integer IS NULL OR u.member < $5 "
            f"ON CONFLICT (key) DO UPDATE SET "
            f"{', '.join(f'{name} = excluded.{name}' for name in names)}"
        )
        self.delete: Final = (
            f"DELETE FROM {table} WHERE key = ANY (ARRAY(SELECT u.key "
            f"FROM unnest($1::text[], $2::integer[]) AS u (key, member) "
            f"WHERE $3::integer IS NULL OR u.member < $3))"
        )
        self.each: Final[dict[str, Any]] = {
            "version": f"SELECT version FROM {table} WHERE key = $1",
            "write": self.write,
            "fields": self.fields,
            "delete": self.delete,
            "unique": [
                {
                    "place": place,
                    "sql": f"SELECT key FROM {table} WHERE {columns[place]} = "
                    f"{_value(collection, place, '$2::json')} AND key <> $1 LIMIT 1",
                }
                for place, _ in collection.unique
            ],
        }


def indexed_text(values: Sequence[IndexValue]) -> str | None:
    """Return indexed values as the text of a JSON array, None where there are none."""
    if not values:
        return None
    return _encode([_plain(value) for value in values]).decode()


def _plain(value: IndexValue) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        # JSON knows neither of them; PostgreSQL reads the infinite ones as text.
        return None if math.isnan(value) else str(value) if math.isinf(value) else value
    return int(value) if isinstance(value, bool) else value


def _value(collection: Collection, place: int, array: str) -> str:
    text, kind = f"({array} ->> {place})", collection.types[place]
    return f"decode({text}, 'hex')" if kind == "bytea" else f"{text}::{kind}"


def _next_version(collection: Collection) -> str:
    return f"nextval('{collection.schema}.row_versions')"
