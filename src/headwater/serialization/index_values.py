"""Index values: how a field's value is stored so that the storage finds and sorts it rightly."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

import msgspec

from headwater.clock import microseconds_since_epoch
from headwater.errors import ConfigurationError, SerializationError
from headwater.ports.changes import IndexValue
from headwater.ports.rows import IndexKind

INTEGER_MAX: Final = 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)
_EXPONENT_BIAS = 10**7
_NINES_COMPLEMENT = str.maketrans("0123456789", "9876543210")


class IndexCodec(msgspec.Struct, frozen=True):
    """The kind that a field is stored as, and the function that turns values into it."""

    kind: IndexKind
    encode: Callable[[Any], IndexValue]


def sortable_decimal(value: Decimal | int) -> str:
    """Return text that sorts (by code point) as the numbers do; equal numbers, equal text.

    Sign, then the exponent of the leading digit, then the digits; of negative numbers the
    complements, so that larger amounts come first.

    Raises:
        SerializationError: *value* is not finite.
    """
    value = Decimal(value) if isinstance(value, int) else value
    if not value.is_finite():
        raise SerializationError(f"{value} can't be an index value: it is not a finite number.")
    if not value:
        return "1"
    digits = "".join(map(str, value.as_tuple().digits)).lstrip("0").rstrip("0")
    exponent = f"{value.adjusted() + _EXPONENT_BIAS:08d}"
    if value > 0:
        return f"2{exponent}{digits}"
    return f"0{(exponent + digits).translate(_NINES_COMPLEMENT)}~"


def _integer(value: int) -> int:
    if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
        raise SerializationError(
            f"{value} can't be an index value: integers go from -2**63 to 2**63 - 1. Store it "
            f"as a Decimal, or don't index the field."
        )
    return int(value)


_CODECS: Final[dict[type, IndexCodec]] = {
    str: IndexCodec(IndexKind.TEXT, str),
    bool: IndexCodec(IndexKind.INTEGER, int),
    int: IndexCodec(IndexKind.INTEGER, _integer),
    float: IndexCodec(IndexKind.REAL, float),
    Decimal: IndexCodec(IndexKind.TEXT, sortable_decimal),
    UUID: IndexCodec(IndexKind.TEXT, str),
    datetime: IndexCodec(IndexKind.INTEGER, microseconds_since_epoch),
    date: IndexCodec(IndexKind.TEXT, date.isoformat),
    timedelta: IndexCodec(IndexKind.INTEGER, lambda value: value // _MICROSECOND),
    bytes: IndexCodec(IndexKind.BYTES, bytes),
}


def _bare(annotation: Any) -> Any:
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif origin in (Union, UnionType):
            parts = [part for part in get_args(annotation) if part is not NoneType]
            if len(parts) != 1:
                return annotation
            annotation = parts[0]
        else:
            return annotation


def _optional(encode: Callable[[Any], IndexValue]) -> Callable[[Any], IndexValue]:
    return lambda value: None if value is None else encode(value)


def index_codec(owner: str, field: str, annotation: Any) -> IndexCodec:
    """Return how *field* of *owner*, annotated so, is indexed. None is stored as NULL.

    Raises:
        ConfigurationError: values of that type have no order that a storage could keep.
    """
    bare = _bare(annotation)
    if isinstance(bare, type):
        if issubclass(bare, Enum):
            of_int = all(isinstance(member.value, int) for member in bare)
            kind = IndexKind.INTEGER if of_int else IndexKind.TEXT
            convert: Callable[[Any], IndexValue] = _integer if of_int else str
            return IndexCodec(kind, _optional(lambda member: convert(member.value)))
        for known, codec in _CODECS.items():
            if issubclass(bare, known):
                return IndexCodec(codec.kind, _optional(codec.encode))
    raise ConfigurationError(
        f"{owner}.{field} can't be indexed: values of {annotation!r} have no order that a "
        f"storage could keep. Index a text, number, time, enum or UUID field."
    )
