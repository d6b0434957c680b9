"""What is exported and imported again is what it was, wherever it was cut off meanwhile."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import ExportFileError, RestoreConflictError
from headwater.operations import export_file
from headwater.operations.export_format import (
    EventLine,
    decode_line,
    encode_line,
    event_line,
    stored_event,
)
from headwater.operations.exporting import Exported, export_log
from headwater.operations.importing import import_log
from headwater.ports.changes import StreamAction
from headwater.ports.log import StoredEvent, StreamInfo, StreamState
from headwater.testing.conformance.builders import new_event, new_events
from tests.operations.logs import appended, changed, content, cut, everything, fill, put

AT = ManualClock().now()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a mark after every three events, so that a small log has many."""
    monkeypatch.setattr(export_file, "CHUNK_EVENTS_MAX", 3)


async def test_an_imported_log_is_the_one_that_was_exported(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)

    exported = await export_log(storage, path, at=AT)
    imported = await import_log(target, path)

    assert await everything(target) == await everything(storage)
    assert (imported.events, imported.head) == (exported.events, await storage.head())
    assert imported.digest == exported.digest


async def test_an_empty_log_can_be_exported_and_imported(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    assert (await export_log(storage, path, at=AT)).events == 0
    assert (await import_log(target, path)).head == 0


async def test_every_line_is_json_and_data_is_readable_in_place(
    storage: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)

    lines = [json.loads(line) for line in content(path).decode().splitlines()]

    assert lines[1]["data"] == {"total": "9.99", "note": 'ä "quoted"'}
    assert lines[2]["text"] == '{\n  "pretty": true\n}'
    assert {line["kind"] for line in lines} == {"header", "event", "stream", "mark", "end"}


async def test_the_export_of_a_growing_log_ends_at_the_head_it_began_with(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await appended(storage, "order-1", *new_events(6))
    await changed(storage, "order-1", StreamAction.TRUNCATE, 3)
    before = await everything(storage)
    await export_log(storage, path, at=AT)
    cut(path, content(path).index(b'{"kind":"stream"'))
    await appended(storage, "order-1", *new_events(4))
    await appended(storage, "order-2", new_event())
    await changed(storage, "order-2", StreamAction.ARCHIVE)

    exported = await export_log(storage, path, at=AT)
    await import_log(target, path)

    assert exported.head == 6
    assert await everything(target) == before


async def test_an_export_goes_on_wherever_it_was_cut_off(
    storage: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    whole = await export_log(storage, path, at=AT)
    written = content(path)

    for size in range(0, len(written), 97):
        cut(path, size)
        resumed = await export_log(storage, path, at=AT)

        assert content(path) == written
        assert resumed.digest == whole.digest
        put(path, written)


async def test_a_finished_export_is_left_as_it_is(storage: MemoryStorage, path: Path) -> None:
    await fill(storage)
    first = await export_log(storage, path, at=AT)
    await appended(storage, "order-9", new_event())

    again = await export_log(storage, path, at=AT)

    assert again == Exported(
        first.events,
        first.special_streams,
        first.head,
        first.log_head + 1,
        first.digest,
        events_before=first.events,
        complete_before=True,
    )


async def test_a_finished_export_of_another_log_is_refused(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    await fill(target)

    with pytest.raises(ExportFileError, match="another log"):
        await export_log(target, path, at=AT)


async def test_an_import_goes_on_wherever_it_was_cut_off(
    storage: MemoryStorage, path: Path, clock: ManualClock
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    for calls_before in range(6):
        target = _Failing(clock, calls_before)
        await target.open()
        with pytest.raises(ConnectionError):
            await import_log(target, path)
        target.calls_left = 1000

        imported = await import_log(target, path)

        assert await everything(target) == await everything(storage)
        assert imported.events == 7


class _Failing(MemoryStorage):
    """A storage whose machine fails after so many calls."""

    def __init__(self, clock: ManualClock, calls_left: int) -> None:
        super().__init__(clock)
        self.calls_left = calls_left

    async def restore_log(
        self,
        events: Sequence[StoredEvent],
        *,
        head: int,
        streams: Sequence[StreamInfo] = (),
    ) -> None:
        if not self.calls_left:
            raise ConnectionError("gone")
        self.calls_left -= 1
        await super().restore_log(events, head=head, streams=streams)


async def test_an_import_may_be_repeated(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    await import_log(target, path)

    again = await import_log(target, path)

    assert again.events_before == again.events
    assert await everything(target) == await everything(storage)


async def test_events_erased_during_the_export_are_erased_in_the_target(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await appended(storage, "order-1", *new_events(9))
    await export_log(storage, path, at=AT)
    cut(path, content(path).index(b'"position":7'))
    await changed(storage, "order-1", StreamAction.TRUNCATE, 6)

    await export_log(storage, path, at=AT)
    await import_log(target, path)
    await import_log(target, path)

    assert await everything(target) == await everything(storage)


async def test_an_import_into_a_storage_with_a_log_of_its_own_is_refused(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    for size in (1, 3, 20, 40):
        await appended(target, "order-1", *new_events(size))

        with pytest.raises(RestoreConflictError, match="holds something else"):
            await import_log(target, path)


async def test_a_damaged_export_is_not_imported(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    put(path, content(path).replace(b'"actor":"ada"', b'"actor":"bob"', 1))

    with pytest.raises(ExportFileError, match="damaged"):
        await import_log(target, path)

    assert await target.head() == 0


async def test_an_unfinished_export_is_not_imported(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await export_log(storage, path, at=AT)
    cut(path, len(content(path)) - 10)

    with pytest.raises(ExportFileError, match="no finished export"):
        await import_log(target, path)


async def test_a_file_that_is_no_export_is_not_touched(storage: MemoryStorage, path: Path) -> None:
    put(path, b"my diary")

    with pytest.raises(ExportFileError, match="no export"):
        await export_log(storage, path, at=AT)

    assert content(path).decode() == "my diary"


async def test_an_export_of_another_log_is_not_gone_on_with(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await appended(storage, "order-1", *new_events(9))
    await export_log(storage, path, at=AT)
    cut(path, len(content(path)) - 300)
    await appended(target, "order-1", *new_events(9))

    with pytest.raises(ExportFileError, match="another log"):
        await export_log(target, path, at=AT)


async def test_streams_keep_their_states(
    storage: MemoryStorage, target: MemoryStorage, path: Path
) -> None:
    await fill(storage)
    await changed(storage, "unused-1", StreamAction.ARCHIVE)
    await export_log(storage, path, at=AT)
    await import_log(target, path)

    info = await target.stream_info("order-4")

    assert info == StreamInfo("order-4", 2, 0, StreamState.TOMBSTONED)
    assert await everything(target) == await everything(storage)


texts = st.text(st.characters(exclude_categories=["Cs"]))
ids = st.binary(min_size=16, max_size=16)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        StoredEvent,
        st.integers(1),
        texts,
        st.integers(1),
        ids,
        texts,
        st.integers(1),
        texts
        | st.recursive(st.none() | st.floats(allow_nan=False) | texts, st.lists).map(json.dumps),
        st.integers(-(2**62), 2**62),
        st.integers(0, 2**62),
        st.none() | ids,
        st.none() | ids,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.lists(texts).map(tuple),
    )
)
def test_any_event_comes_back_from_its_line(event: StoredEvent) -> None:
    line = encode_line(event_line(event))

    decoded = decode_line(line, number=1)

    assert line.count(b"\n") == 1
    assert isinstance(decoded, EventLine)
    assert stored_event(decoded) == event
