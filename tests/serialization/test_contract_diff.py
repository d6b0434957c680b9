"""The diff of two contracts: what breaks for whom, and what readers tolerate."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from types import new_class
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from msgspec import Meta

from headwater.messages import Event, IntegrationEvent, Value, message
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.contract import Direction, Finding, schema_diff, schema_snapshot

NAME = "sales.order-placed"


def contract(*types: type, upcasters: Upcasters | None = None) -> dict[str, Any]:
    registry = TypeRegistry()
    for cls in types:
        registry.register(cls)
    return schema_snapshot(EventCodec(registry, upcasters=upcasters or ()))


def event(
    annotation: Any = None, *, version: int = 1, published: bool = False, **fields: Any
) -> type:
    """Return an event class; a field is its annotation, or that and a default."""
    given: dict[str, Any] = {"field": annotation, **fields} if annotation else fields

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {
            name: field[0] if isinstance(field, tuple) else field for name, field in given.items()
        }
        namespace |= {n: field[1] for n, field in given.items() if isinstance(field, tuple)}

    base = IntegrationEvent if published else Event
    header = {"name": NAME, "version": version, "kw_only": True}
    return new_class("OrderPlaced", (base,), header, fill)


def findings(before: type, after: type, *, upcasters: Upcasters | None = None) -> list[Finding]:
    return schema_diff(contract(before), contract(after, upcasters=upcasters))


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class MoreColours(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Line(Value):
    sku: str
    count: int = 1


class LineOfToday(Value):
    sku: str
    count: int = 1
    price: Decimal = Decimal(0)


class LineWithPrice(Value):
    sku: str
    price: Decimal
    count: int = 1


class ShortLine(Value):
    sku: str


class Card(Value, tag="card"):
    number: str


class CardToday(Value, tag="card"):
    number: str
    holder: str


class Cash(Value, tag="cash"):
    cents: int = 0


class Pair(NamedTuple):
    x: int
    y: int


class Point(NamedTuple):
    x: int
    y: int
    z: int = 0


class Node(Value):
    children: tuple["Node", ...] = ()


class Strict(Value, forbid_unknown_fields=True):
    sku: str


class Row(Value, array_like=True):
    a: int


class LongRow(Value, array_like=True):
    a: int
    b: int


Aware = Annotated[datetime, Meta(tz=True)]
Short = Annotated[str, Meta(max_length=3)]
Long = Annotated[str, Meta(max_length=9)]

TOLERATED: list[tuple[Any, Any]] = [
    (int, int),
    (int, float),
    (int, int | None),
    (int, int | str),
    (int, Any),
    (int, Decimal),
    (UUID, str),
    (Aware, datetime),
    (datetime, Aware),
    (Short, str),
    (Short, Long),
    (Colour, MoreColours),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a"], str),
    (Colour, str),
    (list[int], tuple[int, ...]),
    (list[int], list[float]),
    (tuple[int, int], list[int]),
    (dict[str, int], dict[str, float]),
    (dict[UUID, int], dict[str, int]),
    (Line, LineOfToday),
    (list[Line], list[LineOfToday]),
    (Card | Cash, Card | Cash | None),
    (Card | Cash, Cash | Card),
    (Node, Node),
    (Pair, Point),
    (int | None, None | int),
]

BROKEN: list[tuple[Any, Any, str, str]] = [
    (int, str, "field", "is stored as integer and read as string"),
    (float, int, "field", "is stored as number and read as integer"),
    (int | None, int, "field", "is stored as null and read as integer"),
    (Any, int, "field", "is stored as anything and read as integer"),
    (str, UUID, "field", "is stored as string and read as string (uuid)"),
    (str, datetime, "field", "is stored as string and read as string (date-time)"),
    (time, datetime, "field", "(time) and read as string (date-time)"),
    (date, timedelta, "field", "(date) and read as string (duration)"),
    (Decimal, float, "field", "(decimal) and read as number"),
    (str, bytes, "field", "contentEncoding base64"),
    (Long, Short, "field", "(maxLength 9) and read as string (maxLength 3)"),
    (MoreColours, Colour, "field", "is stored with 'blue', and only one of 'green', 'red'"),
    (str, Colour, "field", "is stored as string and read as one of 'green', 'red'"),
    (Level, Colour, "field", "is stored with 1, and only"),
    (Literal["a", "b"], Literal["a"], "field", "is stored with 'b'"),
    (list[int], list[str], "field[]", "is stored as integer and read as string"),
    (list[int], set[int], "field", "uniqueItems"),
    (list[int], tuple[int, int], "field", "minItems 2"),
    (tuple[int, int], tuple[int, str], "field[1]", "is stored as integer and read as string"),
    (dict[str, int], dict[str, str], "field{}", "is stored as integer"),
    (dict[str, int], dict[UUID, int], "field{} (key)", "(uuid)"),
    (Line, LineWithPrice, "field.price", "was added and is required"),
    (LineOfToday, LineWithPrice, "field.price", "became required, and stored events can lack it"),
    (Line, ShortLine, "field.count", "was removed, and what is stored in it is lost"),
    (list[Line], list[ShortLine], "field[].count", "was removed"),
    (Line, Strict, "field.count", "was removed, and fields that are not known are refused"),
    (Line, int, "field", "is stored as object and read as integer"),
    (Card | Cash, Cash, "field.type", "is stored with 'card'"),
    (Card | Cash, CardToday | Cash, "field.holder", "was added and is required"),
    (Pair, tuple[int, int, int], "field", "minItems 3"),
    (Row, LongRow, "field", "minItems 2"),
    (LongRow, Row, "field[1]", "was removed"),
]


@pytest.mark.parametrize(("before", "after"), TOLERATED)
def test_what_readers_tolerate_is_no_finding(before: Any, after: Any) -> None:
    assert findings(event(before), event(after)) == []


@pytest.mark.parametrize(("before", "after", "field", "reason"), BROKEN)
def test_what_stored_events_do_not_survive_is_found(
    before: Any, after: Any, field: str, reason: str
) -> None:
    found = findings(event(before), event(after))

    places = {finding.field: finding for finding in found}
    assert field in places, found
    assert reason in places[field].reason
    assert places[field].direction is Direction.STORED
    assert f"{NAME} v1, {field} (stored)" in str(places[field])
    assert "Raise the version to 2" in places[field].advice
    assert f"change_fields('{NAME}', version=1" in places[field].advice


SAMPLES: list[tuple[Any, list[Any]]] = [
    (int, [1, -1]),
    (float, [1.5, 2.0]),
    (bool, [True]),
    (str, ["", "abcdef", "red"]),
    (Short, ["abc"]),
    (Long, ["abcdefghi"]),
    (bytes, [b"a"]),
    (Decimal, [Decimal("1.5")]),
    (UUID, [UUID(int=1)]),
    (datetime, [datetime.fromisoformat("2024-01-01T00:00:00+01:00")]),
    (time, [time(1, tzinfo=UTC)]),
    (Aware, [datetime.fromisoformat("2024-01-01T00:00:00+00:00")]),
    (date, [date(2024, 1, 1)]),
    (timedelta, [timedelta(1)]),
    (Colour, list(Colour)),
    (MoreColours, list(MoreColours)),
    (Level, [Level.LOW]),
    (Literal["a"], ["a"]),
    (Literal["a", 1], ["a", 1]),
    (int | None, [1, None]),
    (int | str, [1, "a"]),
    (list[int], [[], [1], [1, 2, 3]]),
    (list[float], [[1.5]]),
    (tuple[int, ...], [(1,)]),
    (tuple[int, int], [(1, 2)]),
    (tuple[int, str], [(1, "a")]),
    (dict[str, int], [{}, {"a": 1}]),
    (dict[str, str], [{"a": "b"}]),
    (dict[UUID, int], [{UUID(int=1): 1}]),
    (Line, [Line("a"), Line("a", 2)]),
    (LineOfToday, [LineOfToday("a")]),
    (LineWithPrice, [LineWithPrice("a", Decimal(1))]),
    (ShortLine, [ShortLine("a")]),
    (Strict, [Strict("a")]),
    (list[Line], [[Line("a")]]),
    (Card, [Card("1")]),
    (Card | Cash, [Card("1"), Cash(1)]),
    (CardToday | Cash, [CardToday("1", "a"), Cash(1)]),
    (Pair, [Pair(1, 2)]),
    (Point, [Point(1, 2, 3)]),
    (Node, [Node(), Node((Node(),))]),
    (Row, [Row(1)]),
    (LongRow, [LongRow(1, 2)]),
]


@pytest.mark.parametrize(("before", "values"), SAMPLES, ids=[str(type) for type, _ in SAMPLES])
def test_whatever_the_codec_can_not_read_is_found(before: Any, values: list[Any]) -> None:
    first = TypeRegistry()
    writer = event(before)
    first.register(writer)
    written = [EventCodec(first).encode(writer(field=value)) for value in values]

    for after, _ in SAMPLES:
        second = TypeRegistry()
        second.register(event(after))
        codec = EventCodec(second)
        if schema_diff(schema_snapshot(EventCodec(first)), schema_snapshot(codec)) == []:
            for stored in written:
                codec.decode(*stored)


def test_fields_of_the_message_itself_are_compared() -> None:
    before = event(order=str, note=str, total=(int, 0))
    after = event(order=str, customer=str, total=int, city=(str, ""))

    found = findings(before, after)

    assert {(finding.field, finding.reason.split(",")[0]) for finding in found} == {
        ("customer", "was added and is required"),
        ("note", "was removed"),
        ("total", "became required"),
    }


# ------------------------------------------------------------------------------- published

CONSUMERS_TOLERATE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"a": int}, {"a": int, "b": int}),
    ({"a": int, "b": (int, 0)}, {"a": int, "b": (int, 0), "c": Line}),
    ({"a": float}, {"a": int}),
    ({"a": int | None}, {"a": int}),
    ({"a": MoreColours}, {"a": Colour}),
    ({"a": int, "b": (int, 0)}, {"a": int}),
]

CONSUMERS_BREAK: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"a": int, "b": int}, {"a": int}, "b", "was removed, and consumers require it"),
    ({"a": int}, {"a": (int, 0)}, "a", "became optional, and consumers require it"),
    ({"a": int}, {"a": float}, "a", "is published as number, and consumers read integer"),
    ({"a": int}, {"a": int | None}, "a", "is published as null, and consumers read integer"),
    ({"a": Colour}, {"a": MoreColours}, "a", "can be 'blue' now, and consumers know only"),
    ({"a": Cash}, {"a": Card | Cash}, "a.type", "can be 'card' now"),
    ({"a": Strict}, {"a": Line}, "a.count", "was added, and consumers refuse"),
]


def for_consumers(before: dict[str, Any], after: dict[str, Any]) -> list[Finding]:
    found = findings(event(published=True, **before), event(published=True, **after))
    return [finding for finding in found if finding.direction is Direction.PUBLISHED]


@pytest.mark.parametrize(("before", "after"), CONSUMERS_TOLERATE)
def test_consumers_tolerate_what_they_can_read(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert for_consumers(before, after) == []


@pytest.mark.parametrize(("before", "after", "field", "reason"), CONSUMERS_BREAK)
def test_what_old_consumers_can_not_read_is_found(
    before: dict[str, Any], after: dict[str, Any], field: str, reason: str
) -> None:
    [finding] = for_consumers(before, after)

    assert (finding.type, finding.version, finding.field) == (NAME, 1, field)
    assert reason in finding.reason
    assert "version=2" in finding.advice


def test_what_is_published_is_stored_too() -> None:
    found = findings(event(published=True, a=int), event(published=True, a=int, b=int))

    assert [finding.direction for finding in found] == [Direction.STORED]


def test_consumers_miss_a_type_that_is_not_published_any_more() -> None:
    before = contract(event(int, published=True))
    upcasters = Upcasters()
    upcasters.rename_event(NAME, to="sales.order-accepted")
    other = message(name="sales.order-accepted")(msgspec.defstruct("Other", [("field", int)]))

    found = schema_diff(before, contract(other, upcasters=upcasters))

    assert [finding.direction for finding in found] == [Direction.PUBLISHED]
    assert "not published any more" in found[0].reason


# ------------------------------------------------------------------- versions and upcasters


def test_a_raised_version_needs_an_upcaster_if_the_old_one_can_not_be_read() -> None:
    before, after = event(a=int), event(b=int, version=2)
    upcasters = Upcasters()
    upcasters.change_fields(NAME, version=1, rename={"a": "b"})

    without = findings(before, after)

    assert {finding.field for finding in without} == {"a", "b"}
    assert without[0].advice == (
        f"Add an upcaster of the old form: upcasters.change_fields({NAME!r}, version=1, …)."
    )
    assert findings(before, after, upcasters=upcasters) == []


def test_a_raised_version_that_reads_the_old_one_as_it_is_needs_none() -> None:
    assert findings(event(a=int), event(a=int, b=(int, 0), version=2)) == []


def test_a_version_never_goes_back() -> None:
    [finding] = findings(event(a=int, version=2), event(a=int))

    assert "knows version 1 only" in finding.reason


def test_a_type_that_is_gone_is_found_unless_an_upcaster_reads_its_events() -> None:
    other = message(name="sales.order-accepted")(msgspec.defstruct("Other", [("a", int)]))
    before, upcasters, dropping = event(a=int), Upcasters(), Upcasters()
    upcasters.rename_event(NAME, to="sales.order-accepted")
    dropping.drop_event(NAME)

    [finding] = findings(before, other)

    assert finding.reason == "the type is gone, and its events are stored"
    assert f"rename_event({NAME!r}, version=1, to=…)" in finding.advice
    assert findings(before, other, upcasters=upcasters) == []
    assert findings(before, other, upcasters=dropping) == []


def test_an_upcaster_that_leads_nowhere_does_not_count() -> None:
    other = message(name="sales.order-accepted")(msgspec.defstruct("Other", [("a", int)]))
    upcasters = Upcasters()
    upcasters.rename_event(NAME, to=("sales.order-accepted", 2))

    [finding] = findings(event(a=int), other, upcasters=upcasters)

    assert "lead to sales.order-accepted v2, which is not there" in finding.reason


def test_an_upcaster_stays_as_long_as_the_log() -> None:
    upcasters = Upcasters()
    upcasters.change_fields(NAME, version=1, rename={"a": "b"})
    cls = event(b=int, version=2)

    [finding] = schema_diff(contract(cls, upcasters=upcasters), contract(cls))

    assert (finding.type, finding.version) == (NAME, 1)
    assert "its upcaster was removed" in finding.reason


def test_new_types_and_the_same_code_are_no_findings() -> None:
    cls = event(a=int, lines=list[Line], node=Node)

    assert schema_diff(contract(), contract(cls)) == []
    assert schema_diff(contract(cls), contract(cls)) == []


# --------------------------------------------------------------------------- other libraries


def test_classes_of_attrs_and_pydantic_are_compared_too() -> None:
    @message(name=NAME)
    @attrs.frozen
    class AttrsBefore:
        a: int

    @message(name=NAME)
    @attrs.frozen
    class AttrsAfter:
        b: int

    model_before = message(name=NAME)(pydantic.create_model("P", a=(int, ...), c=(Colour, ...)))
    model_after = message(name=NAME)(pydantic.create_model("P", a=(str, ...), c=(Colour, ...)))

    assert {f.field for f in findings(AttrsBefore, AttrsAfter)} == {"a", "b"}
    assert {f.field for f in findings(model_before, model_after)} == {"a"}
    assert findings(model_before, model_before) == []
