"""What becomes several events or none, and old forms beside new ones."""

from typing import Annotated, Any

import pytest

from headwater.errors import (
    UpcasterError,
)
from headwater.messages import Event
from headwater.serialization import Upcasters
from headwater.serialization.personal import Personal
from tests.serialization.evolving import Created, Moved, Placed, codec_with, stored


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
    then = codec_with(Upcasters(), RegisteredThen, personal=True)
    written = then.encode(RegisteredThen("7", "ada@lovelace"))
    assert written[2].startswith('{"$personal":')

    read = codec_with(upcasters, RegisteredNow, personal=True).decode_all(*written)

    assert list(read) == [RegisteredNow("7", "ada@lovelace")]


def test_errors_of_upcasters_show_no_values(upcasters: Upcasters) -> None:
    upcasters.rename_event("sales.moved", to="sales.customer-moved")
    codec = codec_with(upcasters, Moved)

    with pytest.raises(UpcasterError) as raised:
        codec.decode_all("sales.moved", 1, '{"town":"Sesame Street 1"}')

    assert "Sesame" not in str(raised.value)


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
