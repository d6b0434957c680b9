"""An event store closes and erases streams, and remembers that it did."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import StreamClosedError
from headwater.event_store import EventStore
from headwater.messages import Event
from headwater.ports.log import StreamState
from headwater.streams import ExpectedVersion


class Noted(Event, context="app"):
    text: str


async def test_streams_are_archived_restored_truncated_and_tombstoned() -> None:
    any_version = ExpectedVersion.any()
    async with EventStore(MemoryStorage(), types=(Noted,)) as store:
        await store.append("note-1", [Noted("a"), Noted("b")], expected=any_version)
        await store.archive("note-1", reason="old", actor="ada")
        with pytest.raises(StreamClosedError):
            await store.append("note-1", [Noted("c")], expected=any_version)
        in_log = [event.payload async for event in store.read_all()]
        await store.restore("note-1", reason="needed", actor="ada")
        await store.truncate("note-1", before_version=2, reason="large", actor="ada")
        left = [event.payload async for event in store.read_stream("note-1")]
        position = await store.tombstone("note-1", reason="wrong", actor="grace")

        records = [event async for event in store.read_stream("$streams-note-1")]
        info = await store.storage.stream_info("note-1")

    assert (in_log, left) == ([], [Noted("b")])
    assert [record.type.rpartition("-")[2] for record in records] == [
        "archived",
        "restored",
        "truncated",
        "tombstoned",
    ]
    assert (records[-1].position, records[-1].actor) == (position, "grace")
    assert info.state is StreamState.TOMBSTONED
