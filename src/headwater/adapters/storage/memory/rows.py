"""Collections of rows in memory, with an index from each indexed value to its rows."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from headwater.errors import (
    ConfigurationError,
    DuplicateValueError,
    RowConflictError,
)
from headwater.ports.changes import IndexValue, RowChange
from headwater.ports.rows import (
    CollectionSpec,
    Comparison,
    Condition,
    IndexKind,
    Row,
    RowQuery,
    check_names,
)

Undo: TypeAlias = Callable[[], None]

_STORED_AS: Final[Mapping[IndexKind, frozenset[type]]] = {
    IndexKind.TEXT: frozenset({str}),
    IndexKind.INTEGER: frozenset({int, bool}),
    IndexKind.REAL: frozenset({float, int}),
    IndexKind.BYTES: frozenset({bytes}),
}


class _Stored(msgspec.Struct, frozen=True):
    row: Row
    indexed: tuple[IndexValue, ...]


class MemoryCollection:
    """The rows of one collection."""

    def __init__(
        self,
        spec: CollectionSpec,
        *,
        before: "MemoryCollection | None" = None,
        last_version: int = 0,
    ) -> None:
        """Take over the rows of the collection as it was *before*, indexed as *spec* says.

        Versions are given after *last_version*, or after the last one of *before*.

        Raises:
            InvalidNameError: a name can't be one in SQL.
            ConfigurationError: a field has become another kind, or a unique one has duplicates.
        """
        check_names(spec)
        self.spec = spec
        self._kinds: dict[str, IndexKind] = dict(before._kinds) if before else {}
        for field in spec.indexed:
            if self._kinds.setdefault(field.name, field.kind) is not field.kind:
                raise ConfigurationError(
                    f"{spec.name!r}: {field.name!r} is stored as {self._kinds[field.name].value}, "
                    f"not as {field.kind.value}. Use a new name for the new kind."
                )
        self._fields = {field.name: place for place, field in enumerate(spec.indexed)}
        self._rows: dict[str, _Stored] = {}
        self._keys: list[dict[IndexValue, set[str]]] = [{} for _ in spec.indexed]
        self.last_version: int = before.last_version if before else last_version
        for stored in before._rows.values() if before else ():
            self._take_over(stored, before)

    def _take_over(self, stored: _Stored, before: "MemoryCollection | None") -> None:
        members: object = msgspec.json.decode(stored.row.data)
        kept = before._fields if before else {}
        indexed = tuple(
            stored.indexed[kept[field.name]]
            if field.name in kept
            else _member(members, field.name, field.kind)
            for field in self.spec.indexed
        )
        taken = self._taken(stored.row.key, indexed)
        if taken is not None:
            name, value = taken
            raise ConfigurationError(
                f"{self.spec.name!r}: {name!r} can't be unique, {value!r} stands in several rows."
            )
        self._put(stored.row.key, _Stored(stored.row, indexed))

    # ------------------------------------------------------------------------------ writing

    def check_version(self, key: str, expected: int) -> None:
        """Raise unless the row is at version *expected* (0: there is none).

        Raises:
            RowConflictError: it is at another.
        """
        stored = self._rows.get(key)
        actual = stored.row.version if stored else 0
        if actual != expected:
            raise RowConflictError(self.spec.name, key, expected=expected, actual=actual)

    def clear(self) -> int:
        """Delete all rows, and return how many there were."""
        count = len(self._rows)
        self._rows.clear()
        for keys in self._keys:
            keys.clear()
        return count

    def write(self, change: RowChange) -> Undo:
        """Make *change* and return what takes it back.

        Raises:
            RowConflictError: the row is not at its expected version.
            DuplicateValueError: a unique value is taken.
        """
        before = self._rows.get(change.key)
        if change.expected is not None:
            self.check_version(change.key, change.expected)
        if change.data is None:
            self._put(change.key, None)
        else:
            indexed = tuple(_without_nan(value) for value in change.indexed)
            taken = self._taken(change.key, indexed)
            if taken is not None:
                raise DuplicateValueError(change.collection, *taken, change.key)
            # One counter for all rows, so that no key sees a version twice, deleted or not.
            self.last_version += 1
            row = Row(change.key, self.last_version, change.data)
            self._put(change.key, _Stored(row, indexed))
        return lambda: self._put(change.key, before)

    def _taken(self, key: str, indexed: Iterable[IndexValue]) -> tuple[str, IndexValue] | None:
        for field, keys, value in zip(self.spec.indexed, self._keys, indexed, strict=True):
            if field.unique and value is not None and keys.get(value, set()) - {key}:
                return field.name, value
        return None

    def _put(self, key: str, stored: _Stored | None) -> None:
        before = self._rows.pop(key, None)
        if before is not None:
            for keys, value in zip(self._keys, before.indexed, strict=True):
                keys[value].discard(key)
                if not keys[value]:
                    del keys[value]
        if stored is not None:
            self._rows[key] = stored
            for keys, value in zip(self._keys, stored.indexed, strict=True):
                keys.setdefault(value, set()).add(key)

    # ------------------------------------------------------------------------------ reading

    def get(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the rows that exist under *keys*."""
        return {key: self._rows[key].row for key in keys if key in self._rows}

    def find(self, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match, sorted, one page of them."""
        order = [(self._place(field), descending) for field, descending in query.order_by]
        found = sorted(self._matching(query.conditions), key=lambda stored: stored.row.key)
        for place, descending in reversed(order):
            found.sort(key=lambda stored: _rank(stored.indexed[place]), reverse=descending)
        return tuple(s.row for s in found[query.offset : query.offset + query.limit])

    def count(self, conditions: Sequence[Condition]) -> int:
        """Return how many rows meet all *conditions*."""
        return len(self._matching(conditions))

    def _matching(self, conditions: Sequence[Condition]) -> list[_Stored]:
        wanted = [(self._place(c.field), c.comparison, self._values(c)) for c in conditions]
        keys: Iterable[str] = self._rows
        for place, comparison, values in wanted:
            if comparison in {Comparison.EQUAL, Comparison.ONE_OF}:
                keys = {key for value in values for key in self._keys[place].get(value, ())}
                break
        candidates = (self._rows[key] for key in keys)
        return [
            stored
            for stored in candidates
            if all(_holds(stored.indexed[place], how, values) for place, how, values in wanted)
        ]

    def _place(self, field: str) -> int:
        place = self._fields.get(field)
        if place is None:
            raise ConfigurationError(
                f"{self.spec.name!r} has no indexed field {field!r}; it can be found by "
                f"{', '.join(self._fields) or 'nothing'}."
            )
        return place

    def _values(self, condition: Condition) -> tuple[IndexValue, ...]:
        """Return what the field is compared with, one value unless it is ONE_OF."""
        one_of = condition.comparison is Comparison.ONE_OF
        kind = self._kinds[condition.field]
        value = condition.value
        values = value if isinstance(value, tuple) else (value,)
        if one_of is not isinstance(value, tuple) or not all(
            v is None or type(v) in _STORED_AS[kind] for v in values
        ):
            raise ConfigurationError(
                f"{self.spec.name!r}: {condition.field!r} is stored as {kind.value} and can't be "
                f"compared by {condition.comparison.value!r} with {value!r}."
            )
        return tuple(_without_nan(v) for v in values)


def _member(members: object, name: str, kind: IndexKind) -> IndexValue:
    """Return the member of a JSON row as it is indexed, None where it is of another kind."""
    value = cast("dict[str, object]", members).get(name) if isinstance(members, dict) else None
    match kind, value:
        case IndexKind.BYTES, str():
            try:
                return b64decode(value, validate=True)
            except binascii.Error:
                return None
        case IndexKind.TEXT, str():
            return value
        case IndexKind.INTEGER, bool() | int():
            return int(value)
        case IndexKind.REAL, int() | float() if not isinstance(value, bool):
            return float(value)
        case _:
            return None


def _without_nan(value: IndexValue) -> IndexValue:
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def _rank(value: IndexValue) -> tuple[bool, Any]:
    """Return a key to sort by in which NULL precedes all; a field's values are of one kind."""
    return value is not None, value


def _holds(value: IndexValue, comparison: Comparison, others: tuple[IndexValue, ...]) -> bool:
    if comparison is Comparison.ONE_OF:
        return value in others
    mine, other = _rank(value), _rank(others[0])
    match comparison:
        case Comparison.EQUAL:
            return mine == other
        case Comparison.NOT_EQUAL:
            return mine != other
        case Comparison.LESS:
            return mine < other
        case Comparison.LESS_OR_EQUAL:
            return mine <= other
        case Comparison.GREATER:
            return mine > other
        case Comparison.GREATER_OR_EQUAL:
            return mine >= other
