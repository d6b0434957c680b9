"""Where an event became several, a checkpoint stands at the event, not at a part of it."""

import pytest

from headwater import App, BoundedContext, Event
from headwater.errors import ParkedKeyError
from headwater.messages import RawEvent
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from tests.subscriptions.failures.posting import until


class Told(Event, context="news"):
    to: str


def news(storage: Storage, failing: set[str], told: list[str]) -> App:
    context = BoundedContext("news")

    @context.upcasters.upcaster("news.told-all", version=1, to=["news.told"])
    def split(data: dict[str, list[str]]) -> list[tuple[str, int, dict[str, str]]]:
        return [("news.told", 1, {"to": name}) for name in data["names"]]

    @context.subscriber(name="tell", key=lambda recorded: recorded.payload.to, partitions=1)
    async def tell(event: Told) -> None:
        if event.to in failing:
            raise ValueError(event.to)
        told.append(event.to)

    context.register(Told)
    app = App("news", storage=storage)
    app.include(context)
    return app


async def test_a_subscription_goes_on_after_parts_that_were_parked(memory: Storage) -> None:
    failing, told = {"bob"}, list[str]()
    async with news(memory, failing, told) as app:
        both = RawEvent("news.told-all", b'{"names":["ann","bob"]}', 1)
        await app.event_store.append("news.all-1", [both], expected=ExpectedVersion.any())
        with pytest.raises(ParkedKeyError, match="bob"):
            await app.settle()

    async with news(memory, set(), told) as app:
        await app.dead_letters.replay(await app.dead_letters.list(), by="ada")

        async def replayed() -> bool:
            return not await app.dead_letters.count()

        await until(replayed)
        await app.settle()

    # Ann's was undone with Bob's, and then handed over on its own.
    assert told == ["ann", "ann", "bob"]
