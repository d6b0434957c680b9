"""Errors show nothing personal, whoever raises them."""

from typing import Annotated, Any

import pydantic
import pytest

from headwater import Command, Event, Value
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import RoundTripError, SerializationError, UpcasterError
from headwater.event_store import EventStore
from headwater.serialization.personal import Personal
from headwater.serialization.upcasting import Upcasters
from tests.personal_data.secrets_stored import (
    ANY,
    SECRET,
    new_personal_data,
    store_of,
    whole,
)


class Numbers(Event):
    id: str
    email: Annotated[str, Personal("id")]
    score: float = 0.0


class Diagnosed(pydantic.BaseModel):
    id: str
    code: Annotated[int, Personal("id", erased=0)]


@pytest.mark.parametrize(
    "event",
    [
        Numbers("ada", SECRET, float("nan")),
        Numbers("ada", SECRET.encode()),  # type: ignore[arg-type] # the test itself
        Diagnosed.model_construct(id="ada", code=SECRET),
    ],
)
async def test_errors_show_nothing_of_an_event_with_personal_fields(event: object) -> None:
    async with store_of(MemoryStorage(), new_personal_data(), type(event)) as store:
        with pytest.raises(RoundTripError) as refused:
            await store.append("app.x-1", [event], expected=ANY)

    assert SECRET not in whole(refused.value)
    assert "b'ada" not in whole(refused.value)


class DiagnosedBefore(pydantic.BaseModel):
    id: str
    code: Annotated[str, Personal("id")]


async def test_errors_of_reading_show_nothing_either() -> None:
    storage, personal = MemoryStorage(), new_personal_data()
    before = EventStore(storage, personal_data=personal)
    async with before:
        before.codec.registry.register(DiagnosedBefore)
        await before.append("app.x-1", [DiagnosedBefore(id="ada", code=SECRET)], expected=ANY)
        (stored,) = await before.storage.read_stream("app.x-1")
        now = store_of(storage, personal, Diagnosed)

        with pytest.raises(SerializationError) as refused:
            now.codec.decode("app.diagnosed", 1, stored.data)

    assert SECRET not in whole(refused.value)


class Moved(Event, version=2):
    id: str
    age: Annotated[int, Personal("id", erased=0)]


class Plain(Event):
    """Is not personal any more; a validator shows what it got."""

    id: str
    age: int = 0


class PydanticPlain(pydantic.BaseModel):
    id: str
    age: int = 0


def read_age(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "age": int(fields["age"])}


def nothing_done(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def not_written(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "age": fields["age"] + "\ud800"}


@pytest.mark.parametrize("upcast", [read_age, nothing_done, not_written])
@pytest.mark.parametrize(
    "to", [("app.moved", 2), ("app.plain", 1), ("app.pydantic-plain", 1)], ids=str
)
async def test_errors_of_upcasters_show_nothing_of_what_they_read(
    upcast: Any, to: tuple[str, int]
) -> None:
    upcasters = Upcasters()
    upcasters.upcaster("app.old", version=1, to=to)(upcast)
    store = EventStore(
        MemoryStorage(),
        types=[Moved, Plain, PydanticPlain],
        upcasters=upcasters,
        personal_data=new_personal_data(),
    )

    with pytest.raises(UpcasterError) as refused:
        store.codec.decode("app.old", 1, f'{{"id":"ada","age":"{SECRET}"}}')

    assert SECRET not in whole(refused.value)
    assert "test_errors.py:" in str(refused.value)


class Sign(Command[None], context="app"):
    id: str
    name: Annotated[str, Personal("id")]


@pytest.mark.parametrize("command", [Sign("ada", f"{SECRET}\ud800"), Sign("\ud800", SECRET)])
async def test_a_digest_that_cannot_be_made_shows_nothing(command: Sign) -> None:
    async with store_of(MemoryStorage(), new_personal_data(), Sign) as store:
        with pytest.raises(SerializationError) as refused:
            store.codec.digest(command)

    assert SECRET not in whole(refused.value)


class Party(Value):
    id: str


class Guest(Party):
    secret: Annotated[str, Personal("id")] = ""


class Invited(Event):
    who: Party
    more: tuple[Any, ...] = ()


@pytest.mark.parametrize(
    "event",
    [
        Invited(Guest("ada", SECRET)),
        Invited(Party("ada"), ([{"all": Guest("ada", SECRET)}],)),
        Invited(Party("ada"), (Guest("ada", f"{SECRET}\ud800"),)),
    ],
)
async def test_what_is_personal_is_not_shown_where_its_field_says_nothing_of_it(
    event: Invited,
) -> None:
    async with store_of(MemoryStorage(), new_personal_data(), Invited) as store:
        with pytest.raises(RoundTripError) as refused:
            await store.append("app.x-1", [event], expected=ANY)

    assert SECRET not in whole(refused.value)
