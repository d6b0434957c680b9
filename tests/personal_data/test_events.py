"""Personal fields of events: what is stored, what is read, and what forgetting changes."""

import json
from uuid import uuid4

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConfigurationError,
    IdempotencyConflictError,
    KeyStoreError,
    MessageTypeError,
    SerializationError,
    SubjectForgottenError,
)
from headwater.event_store import EventData, EventStore
from headwater.ids import new_id
from headwater.messages import Event
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.ports.storage import Storage
from headwater.serialization.personal import SealedStorage
from headwater.streams import ExpectedVersion
from tests.personal_data.people import (
    EMAIL,
    PHONE,
    TYPES,
    Address,
    Cellar,
    CustomerCalled,
    CustomerMoved,
    CustomerRegistered,
)

ANY = ExpectedVersion.any()


class UnmarkedRegistered(Event, context="crm", name="customer-registered"):
    """How code from before the marks sees the same event."""

    customer_id: str
    email: str = ""


ADA = CustomerRegistered("ada", EMAIL, PHONE, newsletter=True)


def inner(store: EventStore) -> Storage:
    """Return the storage that knows no keys."""
    assert isinstance(store.storage, SealedStorage)
    return store.storage.inner


async def put_past_the_keys(store: EventStore, stream_id: str, data: object) -> None:
    """Append a text to a stream of its own as it is."""
    name = "crm.customer-registered"
    event = NewEvent(new_id.as_bytes(), name, 1, json.dumps(data, separators=(",", ":")), 0)
    await inner(store).commit(Changes((Append(stream_id, ANY, (event,)),)))


async def payloads(store: EventStore) -> list[object]:
    return [event.payload async for event in store.read_all()]


async def test_what_is_personal_is_nowhere_in_the_files_of_the_storage(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA], expected=ANY)
        await store.append(
            "crm.customer-ada",
            [CustomerMoved("ada", Address("Ockham Park", "Ripley"))],
            expected=ANY,
        )
        stored = cellar.bytes_of_storage()

    for secret in (EMAIL, PHONE, "Ockham"):
        assert secret.encode() not in stored
    assert b"newsletter" in stored


async def test_an_event_is_read_as_it_was_appended(cellar: Cellar) -> None:
    moved = CustomerMoved("ada", Address("Ockham Park", "Ripley"))
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA, moved], expected=ANY)

    async with cellar.store() as store:
        assert await payloads(store) == [ADA, moved]
        assert [e.payload async for e in store.read_stream("crm.customer-ada")] == [ADA, moved]


async def test_the_stored_text_shows_the_rest_and_placeholders(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA], expected=ANY)

    async with cellar.raw() as raw:
        (stored,) = await raw.storage.read_stream("crm.customer-ada")
    text = json.loads(stored.data)
    (parcel,) = text.pop("$personal")
    assert text == {
        "customer_id": "ada",
        "email": "(erased)",
        "phone": None,
        "newsletter": True,
    }
    assert (parcel["to"], parcel["at"]) == (["ada"], [["email"], ["phone"]])


async def test_of_the_forgotten_placeholders_are_read(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    async with cellar.store(personal) as store:
        await store.append(
            "crm.customer-ada",
            [ADA, CustomerMoved("ada", Address("Ockham Park", "Ripley")), CustomerCalled("ada", 3)],
            expected=ANY,
        )
        await store.append("crm.customer-bob", [CustomerRegistered("bob", "bob@x.y")], expected=ANY)

        await personal.forget("ada")

        assert await payloads(store) == [
            CustomerRegistered("ada", "(erased)", None, newsletter=True),
            CustomerMoved("ada", Address("(erased)", "(erased)")),
            CustomerCalled("ada", 3),
            CustomerRegistered("bob", "bob@x.y"),
        ]
    async with cellar.store() as store:
        assert (await payloads(store))[0] == CustomerRegistered("ada", "(erased)", newsletter=True)


async def test_nothing_personal_is_appended_of_the_forgotten(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    async with cellar.store(personal) as store:
        await personal.forget("ada")

        with pytest.raises(SubjectForgottenError) as refused:
            await store.append("crm.customer-ada", [CustomerCalled("ada", 1), ADA], expected=ANY)

        assert refused.value.subject == "ada"
        assert await store.head() == 0
        # What was read erased can be written so, and what is not personal anyway.
        erased = CustomerRegistered("ada", "(erased)", None, newsletter=False)
        await store.append("crm.customer-ada", [CustomerCalled("ada", 1), erased], expected=ANY)
        assert await payloads(store) == [CustomerCalled("ada", 1), erased]


async def test_the_same_append_again_is_a_repetition(cellar: Cellar) -> None:
    event_id = uuid4()
    async with cellar.store() as store:
        first = await store.append("crm.customer-ada", [EventData(ADA, event_id)], expected=ANY)
    async with cellar.store() as store:
        again = await store.append("crm.customer-ada", [EventData(ADA, event_id)], expected=ANY)

        assert again == first
        other = CustomerRegistered("ada", "other@x.y", PHONE, newsletter=True)
        with pytest.raises(IdempotencyConflictError):
            await store.append("crm.customer-ada", [EventData(other, event_id)], expected=ANY)


async def test_equal_values_of_two_events_do_not_look_equal(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA, ADA], expected=ANY)

    async with cellar.raw() as raw:
        first, second = await raw.storage.read_stream("crm.customer-ada")
    texts = [json.loads(stored.data)["$personal"][0]["data"] for stored in (first, second)]
    # Nonces stand in front: 12 bytes are 16 characters.
    assert texts[0][:16] != texts[1][:16]
    assert texts[0][16:40] != texts[1][16:40]


@pytest.mark.parametrize(
    "change",
    [
        {"data": "A" * 80},
        {"data": "no base64!"},
        {"data": "AAAA"},
        {"at": [["phone"], ["email"]]},
        {"at": [["email"]]},
        {"to": ["bob"]},
    ],
)
async def test_a_text_that_was_changed_is_an_error_and_no_placeholder(
    cellar: Cellar, change: dict[str, object]
) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-bob", [CustomerRegistered("bob", "b@x.y")], expected=ANY)
        await store.append("crm.customer-ada", [ADA], expected=ANY)
        (stored,) = await inner(store).read_stream("crm.customer-ada")
    data = json.loads(stored.data)
    data["$personal"][0].update(change)
    changed = NewEvent(stored.id, stored.type, 1, json.dumps(data, separators=(",", ":")), 0)
    elsewhere = MemoryStorage(cellar.clock)

    store = EventStore(elsewhere, types=TYPES, personal_data=cellar.personal_data())
    async with store:
        await elsewhere.commit(Changes((Append("crm.customer-ada", ANY, (changed,)),)))

        with pytest.raises((SerializationError, KeyStoreError), match=r"crm\.customer-registered"):
            await payloads(store)


async def test_a_text_that_was_moved_to_another_event_is_an_error(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA], expected=ANY)
        (stored,) = await inner(store).read_stream("crm.customer-ada")
        await put_past_the_keys(store, "crm.customer-eve", json.loads(stored.data))

        with pytest.raises(SerializationError, match="changed, or moved"):
            await payloads(store)


async def test_without_keys_personal_types_are_refused_and_sealed_events_not_misread(
    cellar: Cellar,
) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ADA], expected=ANY)

    with pytest.raises(MessageTypeError, match="personal_data="):
        EventStore(cellar.storage(), types=[CustomerRegistered])
    old_code = EventStore(cellar.storage(), types=[UnmarkedRegistered], context="crm")
    async with old_code:
        with pytest.raises(SerializationError, match="without its keys"):
            await payloads(old_code)


async def test_a_prepared_append_is_sealed_or_refused(cellar: Cellar) -> None:
    async with cellar.store() as store:
        with pytest.raises(ConfigurationError, match="prepare_sealed"):
            store.prepare("crm.customer-ada", [ADA], expected=ANY)

        append = await store.prepare_sealed("crm.customer-ada", [ADA], expected=ANY)

        assert EMAIL not in append.events[0].data
        await inner(store).commit(Changes((append,)))
        assert await payloads(store) == [ADA]
