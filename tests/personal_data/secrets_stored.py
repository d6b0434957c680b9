"""Events with secrets, put into a storage and got back."""

from typing import Annotated

import pydantic

from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.adapters.storage.memory import MemoryStorage
from headwater.event_store import EventStore
from headwater.serialization.personal import MasterKeys, Personal, PersonalData
from headwater.streams import ExpectedVersion
from tests.personal_data.people import MASTER

ANY = ExpectedVersion.any()

SECRET = "ada@example.org"


class PydanticPart(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    owner: int
    text: Annotated[str | None, Personal("owner")] = pydantic.Field(alias="TEXT")


def store_of(storage: MemoryStorage, personal: PersonalData, *types: type) -> EventStore:
    return EventStore(storage, types=types, personal_data=personal)


def new_personal_data() -> PersonalData:
    return PersonalData(MemoryKeyStore(), wrapper=MasterKeys(MASTER), ledger=MemoryLedger())


def whole(error: BaseException | None) -> str:
    """Return all that a log shows of *error*."""
    text = ""
    while error is not None:
        text += f"{error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text
