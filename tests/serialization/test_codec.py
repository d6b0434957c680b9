"""The codec: what is encoded comes back as it was, or is refused with the place named."""

import dataclasses
import json
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from headwater.errors import (
    LimitExceededError,
    MessageTypeError,
    RoundTripError,
)
from headwater.messages import Event, RawEvent
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from tests.serialization.examples import (
    Address,
    Box,
    Card,
    Colour,
    Everything,
    GiftLine,
    Level,
    Line,
    Paid,
    PaidBack,
    Pair,
    Signup,
    Size,
    SpecialAddress,
    Transfer,
)
from tests.serialization.orders import LINE, ORDER, Chain

BERLIN = ZoneInfo("Europe/Berlin")

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


class Mutable(Event, eq=False):
    text: str


@dataclasses.dataclass(eq=False)
class ByIdentity:
    text: str


def without_zones(event: object) -> str:
    """The repr with all names of UTC made one: the offset is kept, not what calls it so."""
    return re.sub(
        r"zoneinfo\.ZoneInfo\(key='UTC'\)|TzInfo\(0\)|TzInfo\(UTC\)", repr(UTC), repr(event)
    )


def test_an_event_is_stored_as_type_name_schema_version_and_json(codec: EventCodec) -> None:
    name, version, data = codec.encode(ORDER)

    assert (name, version) == ("sales.order-placed", 1)
    assert json.loads(data) == {
        "order_id": str(UUID(int=7)),
        "customer": "c-1",
        "lines": [{"sku": "cd", "quantity": 2, "price": "9.90"}] * 2,
        "total": "19.80",
    }
    assert codec.decode(name, version, data) == ORDER


@pytest.mark.parametrize(
    "event",
    [
        Everything(),
        Everything(real=-0.0, exact=Decimal("-0.00")),
        Everything(exact=Decimal("1.00")),
        Everything(exact=Decimal("1E+30")),
        Everything(exact=Decimal("Infinity")),
        Everything(whole=2**64, mixed=-(2**70)),
        Everything(mixed=1.0),
        Everything(mixed=1),
        Everything(text="\0 \u2028 \U0001f4bf 注文"),
        Everything(moment=NOON),
        Everything(moment=NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))),
        Everything(moment=NOON.replace(tzinfo=ZoneInfo("UTC"))),
        Everything(moments=(NOON, NOON)),
        Everything(day=date.min, clock=time(23, 59, 59, 999999, tzinfo=UTC)),
        Everything(span=timedelta.max),
        Everything(span=timedelta(days=-1, microseconds=1)),
        Everything(colour=Colour.BLUE, size=Size.LARGE, level=Level.HIGH, kind=3),
        Everything(line=LINE, method=Card("42"), lines=(LINE,), pair=Pair(1, "x")),
        Everything(method=Transfer("DE", date(2024, 1, 1))),
        Everything(words=["a", ""], numbers=frozenset({3, 1}), ids={UUID(int=1)}),
        Everything(by_day={date(2024, 1, 1): Decimal("1.0")}, by_number={-1: [LINE]}),
        Everything(data=bytes(range(256)), optional=3),
        Everything(anything={"a": [1, 1.5, None, True, "x"]}),
        Chain(Chain(Chain())),
        Box([1]),
        Paid(UUID(int=1), Decimal("1.50"), (LINE,), note="seen"),
        PaidBack(UUID(int=1), Decimal("1.50"), (LINE,)),
        Signup(eMail="a@b", total=Decimal("1.00"), address=Address(street="x", since=NOON)),
    ],
)
def test_events_come_back_as_they_were(codec: EventCodec, event: Any) -> None:
    returned = codec.decode(*codec.encode(event))

    assert returned == event
    assert type(returned) is type(event)
    # What repr shows and == does not: types of numbers, exponents of decimals, signs of zeros.
    assert without_zones(returned) == without_zones(event)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": 1}, r"Expected `str`, got `int` - at `\$.text`"),
        ({"whole": 1.0}, r"Expected `int`, got `float` - at `\$.whole`"),
        ({"whole": True}, r"Expected `int`, got `bool` - at `\$.whole`"),
        ({"whole": Level.LOW}, r"Everything\.whole: .*\(Level\) came back as 1 \(int\)"),
        ({"text": Size.SMALL}, r"Everything\.text: .*\(Size\) came back as 'small' \(str\)"),
        ({"real": 1}, r"Everything\.real: 1 \(int\) came back as 1\.0 \(float\)"),
        ({"real": float("nan")}, r"Expected `float`, got `null`"),
        ({"mixed": float("inf")}, r"Everything\.mixed: inf \(float\) came back as None"),
        ({"truth": 1}, r"Expected `bool`, got `int`"),
        ({"exact": 5}, r"Everything\.exact: 5 \(int\) came back as Decimal\('5'\)"),
        ({"exact": 5.5}, r"Everything\.exact: 5\.5 \(float\) came back as"),
        ({"exact": Decimal("NaN")}, r"Everything\.exact: Decimal\('NaN'\)"),
        ({"exact": Decimal("sNaN")}, r"Everything\.exact: Decimal\('sNaN'\)"),
        ({"data": bytearray(b"x")}, r"Everything\.data: .*\(bytearray\) came back as b'x'"),
        ({"moment": datetime(2024, 1, 1)}, r"Everything\.moment: .* has no time zone"),  # noqa: DTZ001
        ({"moments": (NOON, datetime(2024, 1, 1))}, r"Everything\.moments\[1\]: .* no time zone"),  # noqa: DTZ001
        ({"clock": time(9)}, r"Everything\.clock: .* has no time zone"),
        ({"moment": datetime(2024, 7, 1, tzinfo=BERLIN)}, r"moment: the zone of .* would be lost"),
        ({"moment": NOON.replace(fold=1)}, r"Everything\.moment: "),
        ({"moment": NOON.replace(tzinfo=timezone(timedelta(seconds=30)))}, r"moment: .*came back"),
        ({"anything": NOON}, r"Everything\.anything: datetime.* came back as '2024"),
        ({"anything": (1,)}, r"Everything\.anything: \(1,\) \(tuple\) came back as \[1\] \(list\)"),
        ({"anything": {1: "a"}}, r"Everything\.anything: \{1: 'a'\}"),
        ({"line": GiftLine("cd", 1, Decimal(1), "x")}, r"Everything\.line: GiftLine.* came back"),
        ({"lines": [LINE]}, r"Everything\.lines: .*\(list\) came back as .*\(tuple\)"),
        ({"lines": (Line("cd", 1, 5),)}, r"Everything\.lines\[0\]\.price: 5 \(int\)"),  # type: ignore[arg-type]
        ({"fixed": Pair(1, "x")}, r"Everything\.fixed: .*\(Pair\) came back as .*\(tuple\)"),
        ({"numbers": {1}}, r"Everything\.numbers: \{1\} \(set\) came back as frozenset"),
        ({"ids": frozenset()}, r"Everything\.ids: frozenset\(\) \(frozenset\) came back as set"),
        ({"numbers": frozenset({Level.LOW})}, r"Everything\.numbers: "),
        ({"by_number": {Level.LOW: []}}, r"Everything\.by_number: "),
        ({"by_number": {1: (LINE,)}}, r"Everything\.by_number\[1\]: .*\(tuple\) came back"),
        ({"positive": -1}, r"Expected `int` >= 0"),
        ({"kind": "c"}, r"Invalid enum value 'c'"),
        ({"text": "\ud800"}, r"Everything\.text: .*surrogates not allowed"),
        ({"whole": 10**5000}, r"Everything\.whole: "),
        ({"anything": object()}, r"Everything\.anything: .*can't be written as JSON"),
        ({"anything": {True: 1}}, r"Everything\.anything: .*can't be written as JSON"),
    ],
)
def test_what_would_come_back_changed_is_refused_with_its_place(
    codec: EventCodec, fields: dict[str, Any], said: str
) -> None:
    event = Everything(**fields)

    with pytest.raises(RoundTripError, match=said):
        codec.encode(event)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Mutable("x"), r"Mutable: Mutable compares by identity"),
        (ByIdentity("x"), r"ByIdentity: ByIdentity compares by identity"),
        (Box(LINE), r"Box\.content: Line\(.*came back as \{'sku'"),
        (Paid(UUID(int=1), Decimal(1), note=3), r"Expected `str`, got `int`"),  # type: ignore[arg-type]
        (Paid(UUID(int=1), 1), r"Paid\.amount: 1 \(int\) came back as Decimal"),  # type: ignore[arg-type]
        (PaidBack(UUID(int=1), 1), r"PaidBack\.amount: 1 \(int\) came back as Decimal"),  # type: ignore[arg-type]
        (Signup.model_construct(email="x", total=1), r"Signup .*can't be written as JSON"),
        (Signup(eMail="x", address=SpecialAddress(street="y")), r"Signup\.address: Special"),
        (
            Signup(eMail="x", address=Address(street="y", since=datetime(2024, 1, 1))),  # noqa: DTZ001
            r"Signup\.address\.since: .*has no time zone",
        ),
        (Signup(eMail="x", rate=float("nan")), r"rate"),
    ],
)
def test_foreign_and_odd_classes_are_refused_as_clearly(
    codec: EventCodec, event: object, said: str
) -> None:
    with pytest.raises(RoundTripError, match=said):
        codec.encode(event)


def test_a_cycle_is_refused(codec: EventCodec) -> None:
    circle: list[Any] = []
    circle.append(circle)

    with pytest.raises(RoundTripError, match="recursion"):
        codec.encode(Everything(anything=circle))


def test_a_long_value_is_cut_in_the_error(codec: EventCodec) -> None:
    with pytest.raises(RoundTripError) as caught:
        codec.encode(Everything(lines=[LINE] * 1000))  # type: ignore[arg-type]

    assert len(str(caught.value)) < 500
    assert caught.value.message_type is Everything


def test_an_event_over_the_size_limit_is_refused() -> None:
    codec = EventCodec(TypeRegistry(), event_bytes_max=100)

    with pytest.raises(LimitExceededError, match=r"bytes in event 'app\.everything'.*100"):
        codec.encode(Everything(text="x" * 200))
    with pytest.raises(LimitExceededError, match=r"bytes in event 'a\.b': 202, the limit is 100"):
        codec.encode(RawEvent("a.b", b'"' + b"x" * 200 + b'"'))


def test_a_class_that_can_not_be_an_event_is_refused(codec: EventCodec) -> None:
    with pytest.raises(MessageTypeError, match="can't be a message"):
        codec.encode({"order_id": 7})
