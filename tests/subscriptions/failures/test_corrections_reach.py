"""A correction reaches whoever is at work, before it passes the event that was corrected."""

import asyncio
from pathlib import Path

import pytest

from headwater import App, BoundedContext, Collection
from headwater.adapters.storage.memory import MemoryStorage
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.operations.control import read_control
from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.ports.storage import Storage
from tests.subscriptions.failures.posting import Sent, Written, write

CORRECTED = '{"box":"a","number":2,"text":"good day"}'


def gated(storage: Storage, gate: asyncio.Event, got: list[str]) -> App:
    """Return an app whose subscriber waits in the first event until *gate* is open."""
    context = BoundedContext("post")

    @context.subscriber(name="send", partitions=1)
    async def send(event: Written, sent: Collection[Sent]) -> None:
        got.append(event.text)
        if event.number == 1:
            await gate.wait()
        sent.put(Sent(event.number, event.box, 0, event.text))

    app = App("post", storage=storage)
    app.include(context)
    return app


@pytest.mark.parametrize("before", [1, 2])
async def test_a_correction_by_another_process_reaches_what_is_in_hand(
    tmp_path: Path, before: int
) -> None:
    """`before` events are there when the first one is handed over, and two in the end."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    gate, got = asyncio.Event(), list[str]()
    other = storage_of(url, clock=SystemClock())
    async with gated(storage_of(url, clock=SystemClock()), gate, got) as app:
        await write(app, *[("a", 1), ("a", 2)][:before])
        async with asyncio.timeout(20):
            while not got:  # noqa: ASYNC110 - it is the handler that is waited for
                await asyncio.sleep(0.01)
        await write(app, *[("a", 1), ("a", 2)][before:])
        await other.open()
        try:
            dead_letters = DeadLetters(other, codec=app.catalogue().codec)
            await dead_letters.edit_event("post.send", 2, CORRECTED, author="ada", reason="rude")
        finally:
            await other.close()
        gate.set()
        await app.settle()

        rows = await app.storage.get_rows("post_sent", ["2"])
        (status,) = app.status()

    assert '"text":"good day"' in rows["2"].data
    assert status.error is None


async def test_all_generations_are_told_in_the_commit_of_the_correction() -> None:
    storage = MemoryStorage()
    async with gated(storage, asyncio.Event(), []) as app:
        await write(app, ("b", 2))
        await app.settle()
        await storage.open_subscription("post.send@2", partitions=1, start_after=0)
        await storage.open_subscription("post.send-off", partitions=1, start_after=0)

        await app.dead_letters.edit_event("post.send@2", 1, CORRECTED, author="ada", reason="rude")

        names = ("post.send", "post.send@2", "post.send-off")
        told = [(await read_control(storage, name)).corrected for name in names]
        assert told == [1, 1, 0]
