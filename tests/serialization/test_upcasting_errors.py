"""What upcasters must not do is said, with the event and the reason."""

from collections.abc import Iterator
from typing import Any

import pytest

from headwater.errors import (
    InvalidNameError,
    SerializationError,
    UnknownTypeError,
    UpcasterError,
)
from headwater.messages import RawEvent
from headwater.serialization import Upcasters
from tests.serialization.evolving import Created, Moved, codec_with

NOT_ALLOWED: list[tuple[Any, str]] = [
    (None, "it returned None; return the data as a dict, or () to drop"),
    ("text", "it returned a str"),
    ([{"city": "Rome"}], "a dict, which is no (name, version, data)"),
    ([("sales.customer-moved", 2, {})], "it returned 'sales.customer-moved' version 2, but"),
    ([("sales.customer-moved", 1, "x")], "is a str, not a dict"),
    ({"city": object()}, "can't be written as JSON"),
    ({"town": "Rome"}, "can't be read as Moved"),
]


@pytest.mark.parametrize(("returned", "problem"), NOT_ALLOWED)
def test_what_an_upcaster_must_not_return_is_said(
    upcasters: Upcasters, returned: Any, problem: str
) -> None:
    @upcasters.upcaster("sales.moved", version=1, to="sales.customer-moved")
    def moved(_data: dict[str, Any]) -> Any:
        return returned

    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError) as raised:
        codec.decode_all("sales.moved", 1, "{}")

    assert problem in str(raised.value)
    assert (raised.value.name, raised.value.schema_version) == ("sales.moved", 1)
    assert "test_upcasting_errors.py:" in raised.value.where


def test_a_dict_is_no_answer_for_an_event_that_is_split(upcasters: Upcasters) -> None:
    @upcasters.upcaster(
        "sales.registered", version=1, to=["sales.customer-created", "sales.customer-moved"]
    )
    def registered(data: dict[str, Any]) -> dict[str, Any]:
        return data

    codec = codec_with(upcasters, Created, Moved)

    with pytest.raises(UpcasterError, match=r"return \(name, version, data\) of each"):
        codec.decode_all("sales.registered", 1, "{}")


def test_an_error_of_the_function_is_the_cause(upcasters: Upcasters) -> None:
    @upcasters.upcaster("sales.moved", version=1, to="sales.customer-moved")
    def moved(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        yield "sales.customer-moved", 1, {"city": data["town"]}

    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError, match="KeyError: 'town'") as raised:
        codec.decode_all("sales.moved", 1, "{}")

    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.parametrize(("data", "problem"), [("[1]", "no JSON object"), ("{", "not JSON")])
def test_upcasters_read_json_objects_only(upcasters: Upcasters, data: str, problem: str) -> None:
    upcasters.rename_event("sales.moved", to="sales.customer-moved")
    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError, match=problem):
        codec.decode_all("sales.moved", 1, data)


def test_an_endless_generator_is_cut_off(upcasters: Upcasters) -> None:
    @upcasters.upcaster("sales.moved", version=1, to="sales.customer-moved")
    def forever(_data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        while True:
            yield "sales.customer-moved", 1, {"city": "Rome"}

    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError, match="more than 1000 events"):
        codec.decode_all("sales.moved", 1, "{}")


def test_a_circle_ends_with_an_error(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.a", to="sales.b")
    upcasters.rename_event("sales.b", to="sales.a")
    codec = codec_with(upcasters)

    with pytest.raises(UpcasterError, match="lead back to it"):
        codec.decode_all("sales.a", 1, "{}")


def test_a_chain_that_ends_in_a_type_nobody_knows_is_an_unknown_type(
    upcasters: Upcasters,
) -> None:
    upcasters.rename_event("sales.moved", to=("sales.customer-moved", 4))
    codec = codec_with(upcasters, Moved)

    with pytest.raises(UnknownTypeError) as raised:
        codec.decode_all("sales.moved", 1, "{}")

    assert (raised.value.name, raised.value.schema_version) == ("sales.customer-moved", 4)


def test_an_event_that_no_upcaster_reads_fails_as_it_always_did(split: Upcasters) -> None:
    codec = codec_with(split, Created, Moved)

    with pytest.raises(SerializationError, match="can't be read as Moved"):
        codec.decode_all("sales.customer-moved", 1, "{}")


def test_names_and_versions_are_checked_where_they_are_written(upcasters: Upcasters) -> None:
    with pytest.raises(InvalidNameError):
        upcasters.rename_event("Order Placed", to="sales.order-placed")
    with pytest.raises(InvalidNameError):
        upcasters.rename_event("sales.order-placed", to="x")
    with pytest.raises(ValueError, match="1 or more, not 0"):
        upcasters.drop_event("sales.order-placed", version=0)


def test_a_raw_event_that_its_upcaster_cannot_read_is_refused(upcasters: Upcasters) -> None:
    @upcasters.upcaster("sales.moved", version=1, to="sales.customer-moved")
    def moved(data: dict[str, Any]) -> Any:
        return {"customer": data["who"], "city": data["town"]}

    codec = codec_with(upcasters, Moved)

    with pytest.raises(SerializationError, match="Nothing was written"):
        codec.encode(RawEvent("sales.moved", b'{"who":"ada"}', 1))

    good = b'{"who":"ada","town":"Rome"}'
    assert codec.encode(RawEvent("sales.moved", good, 1)) == ("sales.moved", 1, good.decode())
