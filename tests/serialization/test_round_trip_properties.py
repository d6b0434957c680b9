"""Whatever an event holds: it comes back to the last bit, or it is refused."""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import RoundTripError
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.sameness import first_difference, same
from tests.serialization.examples import (
    Box,
    Card,
    Colour,
    Everything,
    GiftLine,
    Level,
    Line,
    Paid,
    Pair,
    Size,
    Transfer,
)

CODEC = EventCodec(TypeRegistry())

# Without surrogates, which are no text; the wild values below have them.
texts = st.text(st.characters(exclude_categories=["Cs"]))
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - the zone is added
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=offsets | st.just(UTC),
).map(lambda moment: moment.replace(fold=0))
exact_numbers = st.decimals(allow_nan=False)
lines = st.builds(Line, sku=texts, quantity=st.integers(), price=exact_numbers)
methods = st.builds(Card, texts) | st.builds(Transfer, texts, st.none() | st.dates())

well_typed = st.builds(
    Everything,
    text=texts,
    whole=st.integers(-(2**100), 2**100),
    real=st.floats(allow_nan=False, allow_infinity=False),
    truth=st.booleans(),
    exact=exact_numbers,
    id=st.uuids(),
    data=st.binary(),
    moment=st.none() | moments,
    day=st.none() | st.dates(),
    clock=st.none() | st.times(timezones=st.just(UTC)).map(lambda clock: clock.replace(fold=0)),
    span=st.timedeltas(),
    colour=st.sampled_from(Colour),
    size=st.sampled_from(Size),
    level=st.sampled_from(Level),
    kind=st.sampled_from(["a", "b", 3]),
    line=st.none() | lines,
    method=st.none() | methods,
    pair=st.none() | st.builds(Pair, st.integers(), texts),
    lines=st.lists(lines, max_size=3).map(tuple),
    moments=st.lists(moments, max_size=3).map(tuple),
    fixed=st.tuples(st.integers(), texts),
    words=st.lists(texts, max_size=3),
    numbers=st.frozensets(st.integers(), max_size=5),
    ids=st.sets(st.uuids(), max_size=3),
    by_day=st.dictionaries(st.dates(), exact_numbers, max_size=3),
    by_number=st.dictionaries(st.integers(), st.lists(lines, max_size=2), max_size=3),
    mixed=st.none() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False),
    positive=st.integers(min_value=0, max_value=2**63 - 1),
    optional=st.integers() | st.just(msgspec.UNSET),
    anything=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | texts
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ),
)

wild_atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.decimals()
    | st.just(Decimal("sNaN"))
    | st.uuids()
    | st.binary(max_size=4)
    | st.binary(max_size=4).map(bytearray)
    | st.datetimes(
        timezones=st.none() | offsets | st.sampled_from([UTC, ZoneInfo("Europe/Berlin")])
    )
    | st.dates()
    | st.times(timezones=st.none() | st.just(UTC))
    | st.timedeltas()
    | st.sampled_from([*Colour, *Size, *Level])
    | st.builds(GiftLine, st.text(), st.integers(), st.decimals())
    | st.builds(Line, st.text() | st.integers(), st.integers() | st.booleans(), st.floats())
    | methods
    | st.builds(Pair, st.integers(), st.text())
)
hashable_atoms = wild_atoms.filter(
    lambda value: not isinstance(value, bytearray) and _hashes(value)
)
wild = st.recursive(
    wild_atoms,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashable_atoms, max_size=3)
        | st.frozensets(hashable_atoms, max_size=3)
        | st.dictionaries(hashable_atoms, inner, max_size=3)
    ),
    max_leaves=4,
)
field_names = st.sampled_from(Everything.__struct_fields__)


def _hashes(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@given(well_typed)
def test_well_typed_events_come_back_to_the_last_bit(event: Everything) -> None:
    returned = CODEC.decode(*CODEC.encode(event))

    assert returned == event
    assert fingerprint(returned) == fingerprint(event)


@given(st.dictionaries(field_names, wild, min_size=1, max_size=3))
def test_wild_values_come_back_to_the_last_bit_or_are_refused(fields: dict[str, Any]) -> None:
    event = Everything(**fields)

    try:
        encoded = CODEC.encode(event)
    except RoundTripError:
        return

    assert fingerprint(CODEC.decode(*encoded)) == fingerprint(event)


@given(wild, wild)
def test_foreign_classes_come_back_to_the_last_bit_or_are_refused(amount: Any, note: Any) -> None:
    for event in (Paid(UUID(int=1), amount, note=note), Box((amount, note)), Box([note])):
        try:
            encoded = CODEC.encode(event)
        except RoundTripError:
            continue

        assert fingerprint(CODEC.decode(*encoded)) == fingerprint(event)


@given(wild, wild)
def test_same_and_its_explanation_agree(first: Any, second: Any) -> None:
    for other in (first, second):
        assert same(first, other) == (first_difference(first, other, "it") is None)
    if same(first, second):
        assert fingerprint(first) == fingerprint(second)


def fingerprint(value: Any) -> Any:
    """What tells values apart to the last bit, written without the code under test."""
    cls = value.__class__
    kind = cls.__name__
    if isinstance(value, Enum):
        return kind, value.name
    if isinstance(value, float):
        return kind, value.hex() if math.isfinite(value) else repr(value)
    if isinstance(value, datetime | time):
        naive = value.replace(tzinfo=None)
        return kind, repr(naive), repr(value.utcoffset()), value.tzinfo is None
    if issubclass(cls, Mapping):
        return kind, sorted(((fingerprint(k), fingerprint(v)) for k, v in value.items()), key=repr)
    if issubclass(cls, set | frozenset):
        return kind, sorted(map(fingerprint, value), key=repr)
    if issubclass(cls, list | tuple):
        return kind, [fingerprint(member) for member in value]
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        return kind, [fingerprint(getattr(value, name)) for name in names]
    if dataclasses.is_dataclass(value):
        names = tuple(field.name for field in dataclasses.fields(value))
        return kind, [fingerprint(getattr(value, name)) for name in names]
    assert (
        isinstance(
            value,
            str | int | Decimal | UUID | bytes | bytearray | date | timedelta | msgspec.UnsetType,
        )
        or value is None
    )
    return kind, repr(value)
