"""People who register, to be forgotten."""

from headwater.event_store import EventStore
from headwater.streams import ExpectedVersion
from tests.personal_data.people import CustomerRegistered

ANY = ExpectedVersion.any()


async def emails(store: EventStore) -> list[str]:
    return [event.payload.email async for event in store.read_all()]


async def register(store: EventStore, *ids: str) -> None:
    events = [CustomerRegistered(id, f"{id}@example.org") for id in ids]
    await store.append("crm.customer-all", events, expected=ANY)
