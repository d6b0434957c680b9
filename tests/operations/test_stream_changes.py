"""What is done to a stream is recorded in the same commit, with who did it and why."""

import json

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, InvalidNameError, StreamClosedError
from headwater.metadata import message_context
from headwater.operations.stream_changes import change_stream, records_of
from headwater.ports.changes import StreamAction, StreamChange
from headwater.ports.log import StreamInfo, StreamState
from headwater.testing.conformance.builders import new_events
from tests.operations.logs import WHOLE, appended

AT = ManualClock().now()


@pytest.mark.parametrize(
    ("action", "before_version", "type_", "info"),
    [
        (StreamAction.ARCHIVE, 0, "archived", StreamInfo("a-1", 3, 1, StreamState.ARCHIVED)),
        (StreamAction.RESTORE, 0, "restored", StreamInfo("a-1", 3, 1)),
        (StreamAction.TRUNCATE, 3, "truncated", StreamInfo("a-1", 3, 3)),
        (StreamAction.TOMBSTONE, 0, "tombstoned", StreamInfo("a-1", 3, 0, StreamState.TOMBSTONED)),
    ],
)
async def test_a_change_and_its_record_come_together(
    storage: MemoryStorage,
    action: StreamAction,
    before_version: int,
    type_: str,
    info: StreamInfo,
) -> None:
    await appended(storage, "a-1", *new_events(3))

    position = await change_stream(
        storage, StreamChange("a-1", action, before_version), reason="old", actor="ada", at=AT
    )

    (record,) = await storage.read_stream("$streams-a-1")
    assert await storage.stream_info("a-1") == info
    assert (record.position, record.type) == (position, f"headwater.stream-{type_}")
    assert (record.actor, record.occurred_at) == ("ada", microseconds_since_epoch(AT))
    assert json.loads(record.data)["reason"] == "old"


async def test_a_refused_change_leaves_no_record(storage: MemoryStorage) -> None:
    await change_stream(storage, StreamChange("a-1", StreamAction.TOMBSTONE), reason="old", at=AT)

    with pytest.raises(StreamClosedError):
        await change_stream(
            storage, StreamChange("a-1", StreamAction.RESTORE), reason="sorry", at=AT
        )

    assert len((await storage.read_log(where=WHOLE)).events) == 1


async def test_the_context_says_who_did_it_where_nobody_is_named(storage: MemoryStorage) -> None:
    with message_context(actor="grace", tenant="acme") as context:
        await change_stream(storage, StreamChange("a-1", StreamAction.ARCHIVE), reason="old", at=AT)

    (record,) = await storage.read_stream("$streams-a-1")
    assert (record.actor, record.tenant) == ("grace", "acme")
    assert record.correlation_id == context.correlation_id.bytes


async def test_the_longest_stream_id_has_a_record_too(storage: MemoryStorage) -> None:
    stream_id = "a-" + "x" * 510

    await change_stream(storage, StreamChange(stream_id, StreamAction.ARCHIVE), reason="old", at=AT)

    (record,) = await storage.read_stream(records_of(stream_id))
    assert json.loads(record.data)["stream_id"] == stream_id


@pytest.mark.parametrize(
    ("change", "reason", "error"),
    [
        (StreamChange("a\n1", StreamAction.ARCHIVE), "old", InvalidNameError),
        (StreamChange("$timers-1", StreamAction.ARCHIVE), "old", ConfigurationError),
        (StreamChange("a-1", StreamAction.ARCHIVE), " ", ConfigurationError),
        (StreamChange("a-1", StreamAction.ARCHIVE), "x" * 1001, ConfigurationError),
        (StreamChange("a-1", StreamAction.TRUNCATE, 1), "old", ConfigurationError),
    ],
)
async def test_a_change_without_sense_or_reason_is_refused(
    storage: MemoryStorage, change: StreamChange, reason: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await change_stream(storage, change, reason=reason, at=AT)
