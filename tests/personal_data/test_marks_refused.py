"""Marks and values that would not do are refused, and errors show nothing personal."""

from datetime import date
from typing import Annotated, NamedTuple

import msgspec
import pydantic
import pytest

from headwater import Event
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    MessageTypeError,
    SerializationError,
)
from headwater.event_store import EventStore
from headwater.messages import RawEvent
from headwater.serialization.forms import form_of
from headwater.serialization.personal import Personal, Subject
from headwater.serialization.upcasting import Upcasters
from tests.personal_data.secrets_stored import (
    ANY,
    SECRET,
    PydanticPart,
    new_personal_data,
    store_of,
    whole,
)


class NoSubject(Event):
    id: str
    email: Annotated[str, Personal()]


class WrongSubject(Event):
    id: str
    email: Annotated[str, Personal("customer")]


class PersonalSubject(Event):
    email: Annotated[str, Personal("name")]
    name: Annotated[str, Personal("email")]


class NoPlaceholder(Event):
    id: str
    born: Annotated[date, Personal("id")]


class WrongPlaceholder(Event):
    id: str
    born: Annotated[date, Personal("id", erased="never")]


class ConstrainedPlaceholder(Event):
    id: str
    code: Annotated[str, msgspec.Meta(max_length=3), Personal("id")]


class PydanticConstrained(pydantic.BaseModel):
    id: str
    code: Annotated[str, pydantic.Field(max_length=3), Personal("id")]


class WithinList(Event):
    id: str
    emails: list[Annotated[str, Personal("id")]]


class Point(NamedTuple):
    id: str
    name: Annotated[str, Personal("id")]


class WithinNamedTuple(Event):
    point: Point


class AsArray(Event, array_like=True):
    id: str
    email: Annotated[str, Personal("id")]


class TakesHeader(Event):
    id: str
    header: str = msgspec.field(name="$personal")


class PydanticGuest(pydantic.BaseModel):
    id: str
    name: Annotated[str, Personal("id")]


class PydanticUnion(pydantic.BaseModel):
    who: PydanticGuest | PydanticPart


class PydanticComputed(pydantic.BaseModel):
    id: str
    name: Annotated[str, Personal("id")]

    @pydantic.computed_field
    def greeting(self) -> str:
        return f"Dear {self.name}"


class PydanticGreeted(pydantic.BaseModel):
    """Is marked because of what is in it."""

    who: PydanticGuest

    @pydantic.computed_field
    def greeting(self) -> str:
        return f"Dear {self.who.name}"


@pytest.mark.parametrize(
    ("cls", "problem"),
    [
        (NoSubject, r"NoSubject\.email is personal, but does not say whose"),
        (WrongSubject, "'customer' is no field"),
        (PersonalSubject, "is personal itself"),
        (NoPlaceholder, r"NoPlaceholder\.born does not say what it reads as"),
        (WrongPlaceholder, "can't read as 'never'"),
        (ConstrainedPlaceholder, r"can't read as '\(erased\)'"),
        (PydanticConstrained, r"can't read as '\(erased\)'"),
        (WithinList, "Mark the field as a whole"),
        (WithinNamedTuple, "can't be found within"),
        (AsArray, "written as an array"),
        (TakesHeader, "can be stored as"),
        (PydanticUnion, "can't be told apart"),
        (PydanticComputed, r"PydanticComputed\.greeting is computed"),
        (PydanticGreeted, r"PydanticGreeted\.greeting is computed"),
    ],
)
def test_a_mark_that_would_not_do_is_refused_when_its_type_is_registered(
    cls: type, problem: str
) -> None:
    with pytest.raises(MessageTypeError, match=problem):
        form_of(cls)


class OptionalSubject(Event):
    customer_id: str | None
    email: Annotated[str | None, Personal("customer_id")]


async def test_a_personal_value_without_a_subject_is_refused() -> None:
    async with store_of(MemoryStorage(), new_personal_data(), OptionalSubject) as store:
        await store.append("app.x-1", [OptionalSubject(None, None)], expected=ANY)

        for subject in (None, "", "x" * 501):
            with pytest.raises(SerializationError) as refused:
                await store.append("app.x-1", [OptionalSubject(subject, SECRET)], expected=ANY)
            assert SECRET not in str(refused.value)


class OwnSerializer(pydantic.BaseModel):
    id: str
    email: Annotated[str, Personal("id")] = pydantic.Field(
        validation_alias=pydantic.AliasChoices("mail", "email")
    )

    @pydantic.model_serializer
    def written(self) -> dict[str, str]:
        return {"id": self.id, "mail": self.email}


async def test_a_personal_field_that_is_not_found_in_the_text_is_refused() -> None:
    event = OwnSerializer.model_validate({"id": "ada", "email": SECRET})
    async with store_of(MemoryStorage(), new_personal_data(), OwnSerializer) as store:
        with pytest.raises(SerializationError, match="'email' is not found"):
            await store.append("app.x-1", [event], expected=ANY)


def test_a_mark_shows_what_it_says() -> None:
    assert [repr(Personal("id")), repr(Personal()), repr(Subject())] == [
        "Personal('id')",
        "Personal()",
        "Subject()",
    ]


class Renamed(Event, version=2):
    id: str
    email: Annotated[str, Personal("id")]


@pytest.mark.parametrize(
    ("name", "version"), [("app.renamed", 1), ("app.old", 1), ("app.renamed", 3)]
)
async def test_a_raw_event_is_refused_in_a_form_in_which_nobody_knows_what_is_personal(
    name: str, version: int
) -> None:
    upcasters = Upcasters()
    upcasters.change_fields("app.renamed", version=1, rename={"mail": "email"})
    upcasters.rename_event("app.old", to="app.renamed")
    storage = MemoryStorage()
    store = EventStore(
        storage, types=[Renamed], upcasters=upcasters, personal_data=new_personal_data()
    )
    raw = RawEvent(name, msgspec.json.encode({"id": "ada", "mail": SECRET}), version)
    async with store:
        with pytest.raises(SerializationError, match="personal") as refused:
            await store.append("app.x-1", [raw], expected=ANY)

        assert SECRET not in whole(refused.value)
        assert await storage.head() == 0
