"""Row types: what a read model is to a storage, compiled once."""

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import date
from enum import Enum
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec

from headwater.domain.read_model import ReadModel, row_options
from headwater.errors import ConfigurationError
from headwater.operations.projections.generations import MOVED_KEY
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, Comparison, Condition, IndexedField, Row, RowQuery
from headwater.serialization.codec import EventCodec
from headwater.serialization.index_values import IndexCodec, index_codec
from headwater.serialization.names import kebab_case
from headwater.serialization.personal.annotations import is_marked

M = TypeVar("M", bound=ReadModel)

Key = UUID | str | int | date | Enum
"""What a row's key may be; it is stored as text."""


def key_text(key: object) -> str:
    """Return *key* as it is stored.

    Raises:
        ValueError: it is empty, or of a type that has no one text.
    """
    # Almost all are this, and a projection asks for that of every event.
    if type(key) is str and key[:1] not in {"", "$"}:
        return key
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        if not key:
            raise ValueError("an empty text can't be the key of a row")
        if key == MOVED_KEY:
            raise ValueError(f"{key!r} can't be the key of a row: it is the library's own")
        return key
    if isinstance(key, date):
        return key.isoformat()
    if isinstance(key, UUID | int) and not isinstance(key, bool):
        return str(key)
    raise ValueError(f"{key!r} can't be the key of a row: use a UUID, text, integer, date or enum")


def collection_name(context: str, name: str) -> str:
    """Return the collection of *name* (a class name or kebab-case) in *context*, fit for SQL."""
    return f"{context}_{kebab_case(name)}".replace("-", "_")


def check_not_personal(owner: str, hints: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that the storage need not read fields which are encrypted.

    Raises:
        ConfigurationError: one of *names* is personal.
    """
    for name in names:
        if is_marked(hints[name]):
            raise ConfigurationError(
                f"{owner}.{name} is personal, so the storage can't read it: it can be neither a "
                f"key nor indexed nor unique. Index a field that says nothing of a person."
            )


class Filter(msgspec.Struct, frozen=True):
    """A field compared with a value of its own type, as written ``where("total") > 100``."""

    field: str
    comparison: Comparison
    value: Any


class where:  # noqa: N801 - reads as a word: where("total") > 100
    """Names an indexed field of a read model, to compare it: ``where("placed_on") >= day``."""

    __slots__ = ("_field",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, field: str) -> None:
        self._field = field

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return Filter(self._field, Comparison.EQUAL, value)

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return Filter(self._field, Comparison.NOT_EQUAL, value)

    def __lt__(self, value: object) -> Filter:
        return Filter(self._field, Comparison.LESS, value)

    def __le__(self, value: object) -> Filter:
        return Filter(self._field, Comparison.LESS_OR_EQUAL, value)

    def __gt__(self, value: object) -> Filter:
        return Filter(self._field, Comparison.GREATER, value)

    def __ge__(self, value: object) -> Filter:
        return Filter(self._field, Comparison.GREATER_OR_EQUAL, value)

    def one_of(self, values: Sequence[object]) -> Filter:
        """The field has one of *values*; none, if there are none."""
        return Filter(self._field, Comparison.ONE_OF, tuple(values))


class RowType(Generic[M]):
    """Turns rows of one read model into row changes and back."""

    def __init__(self, model: type[M], *, context: str, codec: EventCodec) -> None:
        """Compile *model* as a collection of *context*.

        Raises:
            ConfigurationError: a field that is declared as indexed has no order, or is personal,
                or there are no keys for its personal fields.
        """
        options = row_options(model)
        hints = typing.get_type_hints(model, include_extras=True)
        fields = msgspec.structs.fields(model)
        names = tuple(dict.fromkeys((*options.indexed, *options.unique)))
        if codec.is_personal(model):
            check_not_personal(model.__name__, hints, (options.key, *names))
        self.model = model
        self._key_field = options.key
        self._codec = codec
        self._indexed: dict[str, IndexCodec] = {
            name: index_codec(model.__name__, name, hints[name]) for name in names
        }
        self.spec = CollectionSpec(
            collection_name(context, model.__name__),
            tuple(field.encode_name for field in fields),
            tuple(
                IndexedField(name, self._indexed[name].kind, unique=name in options.unique)
                for name in names
            ),
        )
        self._getters: tuple[tuple[str, Callable[[Any], Any]], ...] = tuple(
            (name, index.encode) for name, index in self._indexed.items()
        )

    @property
    def name(self) -> str:
        """The collection's name."""
        return self.spec.name

    def in_collection(self, name: str) -> "RowType[M]":
        """Return how the same rows are stored in the collection *name*."""
        moved = copy(self)
        moved.spec = msgspec.structs.replace(self.spec, name=name)
        return moved

    def key_of(self, row: M) -> str:
        """Return the text that *row* is kept under."""
        return key_text(getattr(row, self._key_field))

    def has_key(self, row: M, key: str) -> bool:
        """Return whether *row* is kept under *key*."""
        value: object = getattr(row, self._key_field)
        return value == key or key_text(value) == key

    def written(self, row: M, *, expected: int | None, key: str | None = None) -> RowChange:
        """Return the change that writes *row*, of which the caller may know the *key*.

        Raises:
            RoundTripError: the row does not come back equal from encode + decode.
        """
        return RowChange(
            self.spec.name,
            self.key_of(row) if key is None else key,
            self._codec.encode_value(row, self.model, exact=True),
            tuple([encode(getattr(row, name)) for name, encode in self._getters])
            if self._getters
            else (),
            expected,
        )

    def decode(self, row: Row) -> M:
        """Return the read model that *row* holds."""
        return self.decode_data(row.data)

    def decode_data(self, data: str) -> M:
        """Return the read model that the JSON text *data* holds."""
        return cast("M", self._codec.decode_value(data, self.model))

    def conditions(self, filters: Sequence[Filter]) -> tuple[Condition, ...]:
        """Return *filters* in stored form.

        Raises:
            ConfigurationError: a field is not indexed, or a value is not of its type.
        """
        return tuple(self._condition(wanted) for wanted in filters)

    def query(
        self, filters: Sequence[Filter], *, order_by: Sequence[str], limit: int, offset: int
    ) -> RowQuery:
        """Return the query for `Rows.find_rows`; a field in *order_by* may start with ``-``."""
        order = tuple((name.removeprefix("-"), name.startswith("-")) for name in order_by)
        for name, _ in order:
            self._index_of(name)
        return RowQuery(self.conditions(filters), order, limit, offset)

    def _condition(self, wanted: Filter) -> Condition:
        encode = self._index_of(wanted.field).encode
        try:
            if wanted.comparison is Comparison.ONE_OF:
                values = tuple(encode(value) for value in wanted.value)
                return Condition(wanted.field, wanted.comparison, values)
            return Condition(wanted.field, wanted.comparison, encode(wanted.value))
        except (AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"{self.model.__name__}.{wanted.field} can't be compared with {wanted.value!r}: "
                f"use a value of the field's own type."
            ) from error

    def _index_of(self, field: str) -> IndexCodec:
        try:
            return self._indexed[field]
        except KeyError:
            raise ConfigurationError(
                f"{self.model.__name__}.{field} is not indexed, so rows can't be found or sorted "
                f"by it. Indexed are: {', '.join(self._indexed) or '(none)'}. Add it to the "
                f"header: indexed=(…)."
            ) from None
