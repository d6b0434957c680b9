"""The diff of two contracts: what breaks for whom, and what readers tolerate."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from msgspec import Meta

from headwater.messages import Value
from headwater.serialization import EventCodec, TypeRegistry
from headwater.serialization.contract import Direction, schema_diff, schema_snapshot
from tests.serialization.contracts import (
    NAME,
    Card,
    Cash,
    Colour,
    Line,
    MoreColours,
    Node,
    Strict,
    event,
    findings,
)


class Level(IntEnum):
    LOW = 1


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


class CardToday(Value, tag="card"):
    number: str
    holder: str


class Pair(NamedTuple):
    x: int
    y: int


class Point(NamedTuple):
    x: int
    y: int
    z: int = 0


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
