"""Marks on all kinds of records: what is taken out, what is refused, and what is not mistaken."""

import dataclasses
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, NewType, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import Event, Value
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    SerializationError,
)
from headwater.event_store import EventStore
from headwater.messages import RawEvent
from headwater.serialization.personal import Personal, Subject
from tests.personal_data.secrets_stored import (
    ANY,
    SECRET,
    PydanticPart,
    new_personal_data,
    store_of,
)

T = TypeVar("T")

Email = NewType("Email", str)


class Passenger(Value):
    passport: Annotated[str, Subject()]
    name: Annotated[str, Personal()]
    meal: str = "any"


class Guest(Value, tag="guest"):
    id: str
    name: Annotated[str, Personal("id")]


class Company(Value, tag="company"):
    name: str


class Booked(Event):
    """Personal fields at every depth."""

    booking: int
    booker_id: UUID
    contact: Annotated[str | None, Personal("booker_id")]
    born: Annotated[date | None, Personal("booker_id")]
    notes: Annotated[dict[str, Any], Personal("booker_id", erased={})]
    passengers: tuple[Passenger, ...] = ()
    by_seat: Mapping[str, Passenger] = {}
    pair: tuple[int, Passenger] | None = None
    payer: Guest | Company | None = None
    price: Decimal = Decimal("0.00")
    free: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class DataclassEvent:
    id: str
    email: Annotated[str, Personal("id")]


@attrs.frozen
class AttrsEvent:
    id: str
    email: Annotated[str, Personal("id")]


class PydanticEvent(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    id: Annotated[str, Subject()]
    email: Annotated[str, pydantic.Field(max_length=50), Personal()]
    nested: list["PydanticPart"] = []


class Renamed(Event, rename="camel"):
    customer_id: Annotated[str, Subject()]
    home_town: Annotated[Email, Personal(erased=Email("nowhere"))]


class Pair(Value, Generic[T]):
    id: str
    value: T


class GenericEvent(Event):
    pair: Pair[Passenger]


class Tree(Event):
    id: str
    name: Annotated[str, Personal("id")]
    below: "tuple[Tree, ...]" = ()


def part(owner: int, text: str | None) -> PydanticPart:
    return PydanticPart.model_validate({"owner": owner, "TEXT": text})


EXAMPLES = [
    (DataclassEvent("ada", SECRET), DataclassEvent("ada", "(erased)")),
    (AttrsEvent("ada", SECRET), AttrsEvent("ada", "(erased)")),
    (
        PydanticEvent(id="ada", email=SECRET, nested=[part(7, SECRET), part(8, SECRET)]),
        PydanticEvent(id="ada", email="(erased)", nested=[part(7, None), part(8, None)]),
    ),
    (Renamed("ada", Email(SECRET)), Renamed("ada", Email("nowhere"))),
    (
        GenericEvent(Pair("1", Passenger("ada", SECRET))),
        GenericEvent(Pair("1", Passenger("ada", "(erased)"))),
    ),
    (
        Tree("ada", SECRET, (Tree("bob", "Bob", (Tree("ada", SECRET),)),)),
        Tree("ada", "(erased)", (Tree("bob", "(erased)", (Tree("ada", "(erased)"),)),)),
    ),
    (
        Booked(
            1,
            UUID(int=5),
            SECRET,
            date(1815, 12, 10),
            {"a": [SECRET]},
            (Passenger("ada", SECRET), Passenger("bob", "Bob", "vegan")),
            {"1A": Passenger("ada", SECRET)},
            (1, Passenger("ada", SECRET)),
            Guest("ada", SECRET),
            Decimal("9.90"),
            {"$personal": [{"to": ["ada"], "at": [["contact"]], "key": "x", "data": "y"}]},
        ),
        Booked(
            1,
            UUID(int=5),
            None,
            None,
            {},
            (Passenger("ada", "(erased)"), Passenger("bob", "(erased)", "vegan")),
            {"1A": Passenger("ada", "(erased)")},
            (1, Passenger("ada", "(erased)")),
            Guest("ada", "(erased)"),
            Decimal("9.90"),
            {"$personal": [{"to": ["ada"], "at": [["contact"]], "key": "x", "data": "y"}]},
        ),
    ),
]

SUBJECTS = ("ada", "bob", "7", "8", str(UUID(int=5)))


@pytest.mark.parametrize(("event", "erased"), EXAMPLES, ids=lambda each: type(each).__name__)
async def test_every_kind_of_record_is_stored_without_and_read_with_what_is_personal(
    event: object, erased: object
) -> None:
    storage, personal = MemoryStorage(), new_personal_data()
    async with store_of(storage, personal, type(event)) as store:
        await store.append("app.thing-1", [event], expected=ANY)
        (stored,) = await storage.read_stream("app.thing-1")
        assert SECRET not in stored.data

        (read,) = [each.payload async for each in store.read_all()]
        assert read == event

        for subject in SUBJECTS:
            await personal.forget(subject)
        (read,) = [each.payload async for each in store.read_all()]
        assert read == erased


async def test_one_of_several_subjects_in_an_event_can_be_forgotten() -> None:
    storage, personal = MemoryStorage(), new_personal_data()
    tree = Tree("ada", SECRET, (Tree("bob", "Bob"),))
    async with store_of(storage, personal, Tree) as store:
        await store.append("app.tree-1", [tree], expected=ANY)

        await personal.forget("bob")

        (read,) = [each.payload async for each in store.read_all()]
        assert read == Tree("ada", SECRET, (Tree("bob", "(erased)"),))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$personal", "$value", "a", "é"]) | st.text(), inner, max_size=3
        )
    ),
    max_leaves=8,
)

SUBJECT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9)

PASSENGERS = st.builds(Passenger, SUBJECT, st.text(), st.text())


@given(
    st.builds(
        Booked,
        st.integers(0, 9),
        st.uuids(),
        st.none() | st.text(),
        st.none() | st.dates(),
        st.dictionaries(st.text(), JSON, max_size=3),
        st.lists(PASSENGERS, max_size=3).map(tuple),
        st.dictionaries(st.text(), PASSENGERS, max_size=2),
        st.none() | st.tuples(st.integers(0, 9), PASSENGERS),
        st.none() | st.builds(Company, st.text()) | st.builds(Guest, SUBJECT, st.text()),
        st.decimals(allow_nan=False, allow_infinity=False),
        st.dictionaries(st.sampled_from(["$personal", "$value"]) | st.text(), JSON, max_size=3),
    )
)
async def test_what_comes_back_is_what_was_written_whatever_it_is(event: Booked) -> None:
    storage, personal = MemoryStorage(), new_personal_data()
    async with store_of(storage, personal, Booked) as store:
        await store.append("app.booking-1", [event], expected=ANY)

        (read,) = [each.payload async for each in store.read_all()]

    assert read == event


def test_a_dict_that_looks_like_parcels_is_not_mistaken() -> None:
    store = EventStore(MemoryStorage())
    looks_so = {"$personal": [{"to": ["ada"], "at": [["x"]], "data": "y"}], "x": 1}

    text = store.codec.encode_value(looks_so, dict[str, Any])

    assert store.codec.decode_value(text, dict[str, Any]) == looks_so


async def test_a_raw_event_of_a_personal_type_is_encrypted_and_cannot_pretend() -> None:
    storage, personal = MemoryStorage(), new_personal_data()
    data = msgspec.json.encode(DataclassEvent("ada", SECRET))
    raw = RawEvent("app.dataclass-event", data)
    async with store_of(storage, personal, DataclassEvent) as store:
        await store.append("app.thing-1", [raw], expected=ANY)

        (stored,) = await storage.read_stream("app.thing-1")
        assert SECRET not in stored.data
        with pytest.raises(SerializationError, match="reserved"):
            await store.append("app.x-1", [RawEvent("app.y", stored.data.encode())], expected=ANY)


async def test_digests_of_personal_messages_are_keyed() -> None:
    first, second = new_personal_data(), new_personal_data()
    async with (
        store_of(MemoryStorage(), first, DataclassEvent) as a,
        store_of(MemoryStorage(), second, DataclassEvent) as b,
    ):
        event = DataclassEvent("ada", SECRET)

        assert a.codec.digest(event) == a.codec.digest(event)
        assert a.codec.digest(event) != b.codec.digest(event)
