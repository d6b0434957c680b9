"""Upcasting: what a stored event of an older form is today."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, cast

import attrs
import pydantic
import pytest

from headwater.errors import (
    InvalidNameError,
    SerializationError,
    UnknownTypeError,
    UpcasterError,
)
from headwater.messages import Event, message
from headwater.ports.log import StoredEvent
from headwater.serialization import EventCodec, TypeRegistry, Upcasters
from headwater.serialization.personal import Personal, PersonalData


class Placed(Event, name="sales.order-placed", version=3):
    order: str
    customer_name: str
    total: Decimal
    currency: str = "EUR"


class Created(Event, name="sales.customer-created"):
    name: str


class Moved(Event, name="sales.customer-moved"):
    city: str


@message(name="sales.paid", version=2)
@attrs.frozen
class Paid:
    cents: int


@message(name="sales.signed-up", version=2)
class SignedUp(pydantic.BaseModel):
    email: str


def codec_with(upcasters: Upcasters, *types: type) -> EventCodec:
    # What is personal is packed here, and sealed elsewhere: no key is asked for.
    registry = TypeRegistry(personal=cast("PersonalData", object()))
    for cls in types:
        registry.register(cls)
    return EventCodec(registry, upcasters=upcasters)


def stored(type: str, version: int, data: str) -> StoredEvent:
    return StoredEvent(7, "sales.customer-1", 3, b"\x01" * 16, type, version, data, 1, 2)


@pytest.fixture
def upcasters() -> Upcasters:
    return Upcasters()


@pytest.fixture
def split(upcasters: Upcasters) -> Upcasters:
    @upcasters.upcaster(
        "sales.registered", version=1, to=["sales.customer-created", ("sales.customer-moved", 1)]
    )
    def registered(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        yield "sales.customer-created", 1, {"name": data["name"]}
        yield "sales.customer-moved", 1, {"city": data["city"]}

    return upcasters


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


# ------------------------------------------------------------------------- several and none


def test_the_parts_of_a_split_event_keep_their_order_and_have_ids_of_their_own(
    split: Upcasters,
) -> None:
    codec = codec_with(split, Created, Moved)
    event = stored("sales.registered", 1, '{"name":"ada","city":"London"}')

    parts = codec.read(event)

    assert [payload for _, payload in parts] == [Created("ada"), Moved("London")]
    first, second = (record for record, _ in parts)
    assert first.id == event.id
    assert second.id != event.id
    assert [record.id for record, _ in codec.read(event)] == [first.id, second.id]
    assert {(record.position, record.version) for record, _ in parts} == {(7, 3)}


def test_a_part_keeps_its_id_when_one_before_it_is_split_again_later(split: Upcasters) -> None:
    event = stored("sales.registered", 1, '{"name":"ada","city":"London"}')
    before = codec_with(split, Created, Moved).read(event)

    @split.upcaster(
        "sales.customer-created", version=1, to=["sales.customer-moved", "sales.customer-moved"]
    )
    def twice(_data: dict[str, Any]) -> list[tuple[str, int, dict[str, Any]]]:
        return [("sales.customer-moved", 1, {"city": city}) for city in ("here", "there")]

    after = codec_with(split, Moved).read(event)

    assert [payload for _, payload in after] == [Moved("here"), Moved("there"), Moved("London")]
    assert after[2][0].id == before[1][0].id
    assert len({record.id for record, _ in after}) == 3


def test_parts_share_nothing_that_a_later_step_could_change(upcasters: Upcasters) -> None:
    @upcasters.upcaster("sales.old", version=1, to=[("sales.old", 2), "sales.customer-moved"])
    def both(data: dict[str, Any]) -> list[tuple[str, int, dict[str, Any]]]:
        return [("sales.old", 2, data), ("sales.customer-moved", 1, data)]

    @upcasters.upcaster("sales.old", version=2, to="sales.customer-moved")
    def changed(data: dict[str, Any]) -> dict[str, Any]:
        data["city"] = "changed"
        return data

    codec = codec_with(upcasters, Moved)

    events = codec.decode_all("sales.old", 1, '{"city":"London"}')

    assert list(events) == [Moved("changed"), Moved("London")]


def test_an_event_can_be_dropped_always_or_by_what_it_says(upcasters: Upcasters) -> None:
    upcasters.drop_event("sales.cart-viewed")

    @upcasters.upcaster("sales.moved", version=1, to="sales.customer-moved")
    def moved(data: dict[str, Any]) -> dict[str, Any] | tuple[()]:
        return data if data["city"] else ()

    codec = codec_with(upcasters, Moved)

    assert not codec.decode_all("sales.cart-viewed", 1, "{}")
    assert not codec.decode_all("sales.moved", 1, '{"city":""}')
    assert list(codec.decode_all("sales.moved", 1, '{"city":"Rome"}')) == [Moved("Rome")]


def test_a_page_of_payloads_becomes_the_events_of_today(split: Upcasters) -> None:
    split.drop_event("sales.cart-viewed")
    codec = codec_with(split, Created, Moved)

    events = codec.decode_payloads(
        [
            (1, "sales.cart-viewed", 1, "{}"),
            (2, "sales.registered", 1, '{"name":"ada","city":"London"}'),
            (3, "sales.customer-moved", 1, '{"city":"Rome"}'),
        ]
    )

    assert events == [Created("ada"), Moved("London"), Moved("Rome")]


def test_what_becomes_several_events_is_no_single_one(split: Upcasters) -> None:
    codec = codec_with(split, Created, Moved)

    with pytest.raises(UpcasterError, match="becomes 2 events where exactly one"):
        codec.decode("sales.registered", 1, '{"name":"ada","city":"London"}')


# --------------------------------------------------------------------------- old and new form


class Client(Event, name="sales.client-created"):
    name: str


def test_the_old_class_can_still_be_written_and_is_read_as_the_new_one(
    upcasters: Upcasters,
) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    codec = codec_with(upcasters, Client, Created)

    written = codec.encode(Client("ada"))

    assert written == ("sales.client-created", 1, '{"name":"ada"}')
    assert codec.decode(*written) == Created("ada")


class RegisteredThen(Event, name="crm.registered"):
    id: str
    mail: Annotated[str, Personal("id")]


class RegisteredNow(Event, name="crm.registered", version=2):
    id: str
    email: Annotated[str, Personal("id")]


def test_upcasters_see_personal_data_as_it_was_before_it_was_packed(upcasters: Upcasters) -> None:
    upcasters.change_fields("crm.registered", version=1, rename={"mail": "email"})
    written = codec_with(Upcasters(), RegisteredThen).encode(RegisteredThen("7", "ada@lovelace"))
    assert written[2].startswith('{"$personal":')

    read = codec_with(upcasters, RegisteredNow).decode_all(*written)

    assert list(read) == [RegisteredNow("7", "ada@lovelace")]


def test_errors_of_upcasters_show_no_values(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.moved", to="sales.customer-moved")
    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError) as raised:
        codec.decode_all("sales.moved", 1, '{"town":"Sesame Street 1"}')

    assert "Sesame" not in str(raised.value)


# ------------------------------------------------------------------------------ stored names


def test_who_wants_a_type_reads_all_names_that_lead_to_it(split: Upcasters) -> None:
    split.rename_event("sales.enlisted", to="sales.registered")
    codec = codec_with(split, Created, Moved, Placed)

    assert codec.stored_names(Moved) == {
        "sales.customer-moved",
        "sales.registered",
        "sales.enlisted",
    }
    assert codec.stored_names(Placed) == {"sales.order-placed"}


def test_a_class_that_nothing_is_read_as_has_no_stored_names(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.client-created", to="sales.customer-created")
    codec = codec_with(upcasters, Client, Created)

    assert codec.stored_names(Client) == frozenset()


# ------------------------------------------------------------------------------------ errors


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
    assert "test_upcasting.py:" in raised.value.where


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
