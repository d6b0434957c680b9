"""Whether two values are the same to the last bit, and where they first differ.

Python's ``==`` is too kind for a log: ``1 == True == 1.0``, an enum member equals its value,
``Decimal("1.0") == Decimal("1.00")``, a frozenset equals a set, and what a dataclass declares
with ``compare=False`` is not looked at. `same` asks for equal types all the way down.
"""

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec

from headwater.serialization.foreign import is_attrs_class, is_pydantic_model

Same = Callable[[Any, Any], bool]

# Values of these types are told apart by `==` alone, once their types are the same.
ATOMS: Final[frozenset[type]] = frozenset(
    {str, int, float, bool, type(None), UUID, bytes, date, timedelta}
)
_SHOWN_LENGTH_MAX: Final = 80
_SHAPES_MAX: Final = 64


def same(first: object, second: object) -> bool:
    """Return whether both values are equal, with the same types and content all the way down.

    NaN is not the same as itself. A datetime or time without a zone, or with a zone whose
    offset varies, is not the same as anything: encoding keeps the offset only.
    """
    kind: type[Any] = type(first)
    if kind is not type(second):
        return False
    return _CHECKS[kind](first, second)


def _same_sequence(first: Sequence[Any], second: Sequence[Any]) -> bool:
    kinds = [*map(type, first)]
    if kinds != [*map(type, second)]:
        return False
    if not ATOMS.issuperset(kinds):
        for kind, mine, other in zip(kinds, first, second, strict=True):
            if kind not in ATOMS and not _CHECKS[kind](mine, other):
                return False
    return first == second


def _same_set(first: Any, second: Any) -> bool:
    if len(first) != len(second):
        return False
    others = {member: member for member in second}
    return all(member in others and same(member, others[member]) for member in first)


def _same_mapping(first: Any, second: Any) -> bool:
    if len(first) != len(second):
        return False
    others = {key: (key, value) for key, value in second.items()}
    return all(
        key in others and _same_sequence((key, value), others[key]) for key, value in first.items()
    )


def _same_decimal(first: Decimal, second: Decimal) -> bool:
    # compare_total tells 1.0 from 1.00, and unlike == takes a signalling NaN.
    return not first.compare_total(second) and not first.is_nan()


def _same_moment(first: datetime | time, second: datetime | time) -> bool:
    return (
        has_fixed_offset(first)
        and first == second
        and first.utcoffset() == second.utcoffset()
        and first.fold == second.fold
    )


def has_fixed_offset(moment: datetime | time) -> bool:
    """Return whether *moment* has a zone, and one whose offset is the same at all times."""
    zone = moment.tzinfo
    return zone is UTC or (zone is not None and zone.utcoffset(None) is not None)


def fields_of(cls: Any) -> tuple[str, ...] | None:
    """Return the names of a record class's fields, None if *cls* is no kind of record."""
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if is_attrs_class(cls):
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    return None


def stored_names(cls: Any) -> Iterable[tuple[str, str]]:
    """Return the fields of a record class, each by its name in JSON and in Python."""
    if issubclass(cls, msgspec.Struct):
        return zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True)
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None:
        return [(field.serialization_alias or name, name) for name, field in fields.items()]
    return [(name, name) for name in fields_of(cls) or ()]


def _compares_by_identity(cls: Any) -> bool:
    if issubclass(cls, msgspec.Struct) and cls.__eq__ is msgspec.Struct.__eq__:
        return not cls.__struct_config__.eq
    return cls.__eq__ is object.__eq__


def _same_record(cls: type, names: tuple[str, ...]) -> Same:
    if not names or _compares_by_identity(cls):
        return operator.eq
    get: Callable[[Any], tuple[Any, ...]]
    if len(names) == 1:
        single = operator.attrgetter(names[0])
        get = lambda record: (single(record),)  # noqa: E731 - the single case of attrgetter
    else:
        get = operator.attrgetter(*names)
    # Which fields must be looked into, by the types of all of them: one lookup per record.
    shapes: dict[tuple[type, ...], tuple[tuple[int, Same], ...]] = {}

    def check(first: Any, second: Any) -> bool:
        mine, others = get(first), get(second)
        kinds = tuple(map(type, mine))
        if kinds != tuple(map(type, others)):
            return False
        deep = shapes.get(kinds)
        if deep is None:
            deep = tuple((i, _CHECKS[k]) for i, k in enumerate(kinds) if k not in ATOMS)
            if len(shapes) < _SHAPES_MAX:
                shapes[kinds] = deep
        for index, check_field in deep:
            if not check_field(mine[index], others[index]):
                return False
        return mine == others

    return check


def _same_model(first: Any, second: Any) -> bool:
    return (
        _same_mapping(first.__dict__, second.__dict__)
        and same(first.__pydantic_extra__, second.__pydantic_extra__)
        and same(first.__pydantic_private__, second.__pydantic_private__)
    )


class _Checks(dict[type, Same]):
    """How values of a type are compared; found once per type."""

    def __missing__(self, kind: Any) -> Same:
        check: Same
        if issubclass(kind, Enum):
            check = operator.is_
        elif is_pydantic_model(kind):
            check = _same_model
        elif (names := fields_of(kind)) is not None:
            check = _same_record(kind, names)
        elif issubclass(kind, list | tuple):
            check = _same_sequence
        elif issubclass(kind, set | frozenset):
            check = _same_set
        elif issubclass(kind, Mapping):
            check = _same_mapping
        else:
            check = operator.eq
        self[kind] = check
        return check


_CHECKS: Final = _Checks(
    {
        **dict.fromkeys(ATOMS, operator.eq),
        Decimal: _same_decimal,
        datetime: _same_moment,
        time: _same_moment,
    }
)


# ----------------------------------------------------------------------- where they differ


def first_difference(given: Any, returned: Any, path: str) -> str | None:
    """Return where and how *given* first differs from *returned*, None if they are `same`.

    *path* names the values; the answer begins with the path of the first differing part.
    """
    if same(given, returned):
        return None
    if isinstance(given, datetime | time) and not has_fixed_offset(given):
        return f"{path}: {_zone_problem(given)}"
    if type(given) is not type(returned):
        return f"{path}: {shown(given)} came back as {shown(returned)}."
    for part, mine, other in _parts(given, returned):
        found = first_difference(mine, other, f"{path}{part}")
        if found is not None:
            return found
    if fields_of(type(given)) is not None and _compares_by_identity(type(given)):
        return f"{path}: {type(given).__name__} compares by identity; remove eq=False."
    return f"{path}: {shown(given)} came back as {shown(returned)}."


def _zone_problem(moment: datetime | time) -> str:
    if moment.tzinfo is None:
        return f"{moment!r} has no time zone; use an aware one, such as datetime.now(UTC)."
    return (
        f"the zone of {moment!r} would be lost, only its offset is kept; use .astimezone(UTC) "
        f"and keep the zone's name in a field of its own."
    )


def _parts(given: Any, returned: Any) -> list[tuple[str, Any, Any]]:
    kind = given.__class__
    names = tuple(given.__dict__) if is_pydantic_model(kind) else fields_of(kind)
    if names is not None:
        return [(f".{n}", getattr(given, n), getattr(returned, n, None)) for n in names]
    if issubclass(kind, Mapping):
        # A key that came back as another one is told as a difference of the whole.
        return [(f"[{key!r}]", given[key], returned[key]) for key in given if key in returned]
    if issubclass(kind, list | tuple) and len(given) == len(returned):
        pairs = zip(given, returned, strict=True)
        return [(f"[{index}]", mine, other) for index, (mine, other) in enumerate(pairs)]
    return []


def shown(value: object) -> str:
    """Return a value for an error's text: at most 80 characters of it, and its type."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a value that can't be shown must not hide the fault
        text = f"<no repr: {type(error).__name__}>"
    if len(text) > _SHOWN_LENGTH_MAX:
        text = f"{text[:_SHOWN_LENGTH_MAX]}…"
    return f"{text} ({type(value).__name__})"
