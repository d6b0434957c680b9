"""What consumers tolerate; versions and upcasters; classes of other libraries."""

from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from headwater.messages import message
from headwater.serialization import Upcasters
from headwater.serialization.contract import Direction, Finding, schema_diff
from tests.serialization.contracts import (
    NAME,
    Card,
    Cash,
    Colour,
    Line,
    MoreColours,
    Node,
    Strict,
    contract,
    event,
    findings,
)

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
