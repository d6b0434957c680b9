"""Upcasting: what a stored event of an older form is today."""

from decimal import Decimal
from typing import Any

import attrs
import pydantic
import pytest

from headwater.errors import (
    UpcasterError,
)
from headwater.messages import message
from headwater.serialization import Upcasters
from tests.serialization.evolving import Created, Placed, codec_with, stored


@message(name="sales.paid", version=2)
@attrs.frozen
class Paid:
    cents: int


@message(name="sales.signed-up", version=2)
class SignedUp(pydantic.BaseModel):
    email: str


# ----------------------------------------------------------------------------- one for one


def test_each_version_goes_through_all_steps_that_follow(upcasters: Upcasters) -> None:
    upcasters.change_fields("sales.order-placed", version=1, rename={"customer": "customer_name"})

    @upcasters.upcaster("sales.order-placed", version=2)
    def in_euros(data: dict[str, Any]) -> dict[str, Any]:
        data["total"] = Decimal(data.pop("cents")) / 100
        return data

    codec = codec_with(upcasters, Placed)

    expected = [Placed("1", "ada", Decimal("9.9"))]
    first = '{"order":"1","customer":"ada","cents":990}'
    second = '{"order":"1","customer_name":"ada","cents":990}'
    newest = '{"order":"1","customer_name":"ada","total":"9.9"}'
    assert list(codec.decode_all("sales.order-placed", 1, first)) == expected
    assert list(codec.decode_all("sales.order-placed", 2, second)) == expected
    assert list(codec.decode_all("sales.order-placed", 3, newest)) == expected
    assert codec.decode("sales.order-placed", 1, first) == expected[0]


def test_the_step_after_gets_plain_json_whatever_the_one_before_returned(
    upcasters: Upcasters,
) -> None:
    seen: list[object] = []

    @upcasters.upcaster("sales.order-placed", version=1)
    def first(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "total": Decimal("9.90")}

    @upcasters.upcaster("sales.order-placed", version=2)
    def second(data: dict[str, Any]) -> dict[str, Any]:
        seen.append(data["total"])
        return data

    codec_with(upcasters, Placed).decode_all(
        "sales.order-placed", 1, '{"order":"1","customer_name":"ada"}'
    )

    assert seen == ["9.90"]


def test_an_event_that_was_renamed_is_read_under_its_new_name(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    codec = codec_with(upcasters, Created)

    ((record, event),) = codec.read(stored("sales.client-created", 1, '{"name":"ada"}'))

    assert event == Created("ada")
    assert (record.type, record.schema_version, record.data) == (
        "sales.customer-created",
        1,
        '{"name":"ada"}',
    )
    assert (record.id, record.version, record.position) == (b"\x01" * 16, 3, 7)


def test_fields_are_renamed_added_and_removed_in_one_call(upcasters: Upcasters) -> None:
    upcasters.change_fields(
        "sales.order-placed",
        version=2,
        rename={"customer_name": "order", "order": "customer_name"},
        add={"total": "1", "currency": "USD"},
        remove=["note"],
    )
    codec = codec_with(upcasters, Placed)

    data = '{"order":"ada","customer_name":"1","note":""}'

    assert codec.decode("sales.order-placed", 2, data) == Placed("1", "ada", Decimal(1), "USD")


def test_a_value_that_is_added_is_not_shared_between_events(upcasters: Upcasters) -> None:
    upcasters.change_fields("sales.order-placed", version=1, add={"tags": []})
    seen: list[object] = []

    @upcasters.upcaster("sales.order-placed", version=2)
    def tag(data: dict[str, Any]) -> dict[str, Any]:
        seen.append(list(data["tags"]))
        data.pop("tags").append("x")
        return data

    codec = codec_with(upcasters, Placed)
    data = '{"order":"1","customer_name":"ada","total":"1"}'

    codec.decode("sales.order-placed", 1, data)
    codec.decode("sales.order-placed", 1, data)

    assert seen == [[], []]


@pytest.mark.parametrize("change", [{"add": {"order": "x"}}, {"rename": {"total": "order"}}])
def test_no_field_is_overwritten_by_a_change(
    upcasters: Upcasters, change: dict[str, dict[str, str]]
) -> None:
    upcasters.change_fields("sales.order-placed", version=2, **change)  # type: ignore[arg-type] # either of two
    codec = codec_with(upcasters, Placed)

    with pytest.raises(UpcasterError, match="there is a field 'order' already"):
        codec.decode("sales.order-placed", 2, '{"order":"1","total":"2"}')


@pytest.mark.parametrize(
    ("name", "data", "event"),
    [
        ("sales.paid", '{"euros":3}', Paid(300)),
        ("sales.signed-up", '{"euros":3}', SignedUp(email="3")),
    ],
)
def test_classes_of_other_libraries_are_upcast_too(
    upcasters: Upcasters, name: str, data: str, event: object
) -> None:
    @upcasters.upcaster("sales.paid", version=1)
    def cents(data: dict[str, Any]) -> dict[str, Any]:
        return {"cents": data["euros"] * 100}

    @upcasters.upcaster("sales.signed-up", version=1)
    def mail(data: dict[str, Any]) -> dict[str, Any]:
        return {"email": str(data["euros"])}

    codec = codec_with(upcasters, Paid, SignedUp)

    assert codec.decode(name, 1, data) == event


def test_without_an_upcaster_an_older_version_is_read_as_it_is(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    codec = codec_with(upcasters, Created, Placed)

    read = codec.decode("sales.order-placed", 1, '{"order":"1","customer_name":"a","total":"1"}')

    assert read == Placed("1", "a", Decimal(1))
