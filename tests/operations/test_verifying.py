"""A verification finds what is wrong with a log, and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.messages import Event
from headwater.operations.findings import FINDINGS_MAX
from headwater.operations.verifying import verify_log
from headwater.ports.log import EVERYTHING, LogFilter, LogPage, StoredEvent, StreamInfo, StreamState
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.testing.conformance.builders import new_event, new_events
from tests.operations.logs import appended, fill

Change = Callable[[Sequence[StoredEvent]], Sequence[StoredEvent]]


class _Altered(MemoryStorage):
    """A storage that shows its log otherwise than it is."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.log: Change = tuple
        self.stream: Change = tuple
        self.tagged: Change = tuple
        self.visible: Change = tuple
        self.info: Callable[[StreamInfo], StreamInfo] = lambda info: info

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        page = await super().read_log(after=after, after_id=after_id, where=where, limit=limit)
        shown = self.log if where.archived else self.visible
        change = self.tagged if where.tags else shown
        return msgspec.structs.replace(page, events=tuple(change(page.events)))

    async def read_stream(self, *args: Any, **options: Any) -> tuple[StoredEvent, ...]:
        return tuple(self.stream(await super().read_stream(*args, **options)))

    async def read_streams(self, **options: Any) -> tuple[StreamInfo, ...]:
        return tuple(self.info(info) for info in await super().read_streams(**options))


@pytest.fixture
async def altered(clock: ManualClock) -> _Altered:
    """A storage with six events in two streams, which looks as it is until a test alters it."""
    storage = _Altered(clock)
    await storage.open()
    await appended(storage, "order-1", *(new_event(tags=("vip", "new")) for _ in range(3)))
    await appended(storage, "order-2", *new_events(3))
    return storage


def other(place: int, **values: Any) -> Change:
    """Return what changes one event."""

    def change(events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        return [
            msgspec.structs.replace(event, **values) if event.position == place else event
            for event in events
        ]

    return change


def without(place: int) -> Change:
    """Return what leaves one event out."""
    return lambda events: [event for event in events if event.position != place]


async def problems(storage: _Altered) -> set[str]:
    """Return the kinds of findings."""
    return set((await verify_log(storage)).counts)


async def test_a_log_with_streams_in_every_state_is_sound(storage: MemoryStorage) -> None:
    await fill(storage)

    verified = await verify_log(storage)

    assert verified.findings == ()
    assert (verified.events, verified.streams, verified.tags) == (7, 4, 2)


async def test_an_empty_log_is_sound(storage: MemoryStorage) -> None:
    assert (await verify_log(storage)).counts == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (other(3, position=2), "position"),
        (other(3, recorded_at=1), "time"),
        (other(3, version=4), "version"),
        (without(2), "version"),
        (other(3, data="{"), "json"),
        (other(3, tags=("vip",)), "tag"),
    ],
)
async def test_what_is_wrong_with_an_event_is_found(
    altered: _Altered, change: Change, problem: str
) -> None:
    altered.log = change

    assert problem in await problems(altered)


async def test_an_id_that_stands_twice_is_found_with_both_places(altered: _Altered) -> None:
    first = (await altered.read_stream("order-1"))[0]
    altered.log = other(5, id=first.id)

    findings = (await verify_log(altered)).findings

    assert [(one.position, one.stream_id) for one in findings if "twice" in one.problem.value] == [
        (5, "order-2")
    ]
    assert "position 1" in findings[0].detail


async def test_a_stream_that_reads_otherwise_than_in_the_log_is_found(altered: _Altered) -> None:
    altered.stream = other(2, data="{}")

    assert await problems(altered) == {"stream"}


async def test_a_stream_of_which_something_wrong_is_known_is_found(altered: _Altered) -> None:
    altered.info = lambda info: msgspec.structs.replace(info, first_version=2)

    assert await problems(altered) == {"stream"}


async def test_a_tag_that_does_not_find_its_events_is_found(altered: _Altered) -> None:
    altered.tagged = lambda events: events[1:]

    assert (await verify_log(altered)).counts == {"tag": 2}


async def test_a_tag_that_finds_an_event_without_it_is_found(altered: _Altered) -> None:
    (stranger,) = await altered.read_stream("order-2", limit=1)
    altered.tagged = lambda events: [*events, stranger]

    assert (await verify_log(altered)).counts == {"tag": 2}


async def test_a_stream_that_has_lost_its_last_events_is_found(altered: _Altered) -> None:
    altered.info = lambda info: msgspec.structs.replace(info, version=4)

    findings = (await verify_log(altered)).findings

    assert [(one.stream_id, one.detail) for one in findings] == [
        ("order-1", "its version is 4, its last event has 3"),
        ("order-2", "its version is 4, its last event has 3"),
    ]


async def test_events_of_a_tombstoned_stream_are_found(altered: _Altered) -> None:
    altered.info = lambda info: msgspec.structs.replace(info, state=StreamState.TOMBSTONED)
    altered.visible = lambda _events: []

    findings = (await verify_log(altered)).findings

    assert [(one.stream_id, one.detail) for one in findings] == [
        ("order-1", "it is tombstoned, and has events"),
        ("order-2", "it is tombstoned, and has events"),
    ]


async def test_events_that_subscribers_do_not_see_though_their_stream_is_open_are_found(
    altered: _Altered,
) -> None:
    altered.visible = without(2)

    findings = (await verify_log(altered)).findings

    assert [(one.stream_id, one.detail) for one in findings] == [
        ("order-1", "it is open, and subscribers see 2 of its 3 events"),
    ]


async def test_events_that_subscribers_see_though_their_stream_is_archived_are_found(
    altered: _Altered,
) -> None:
    altered.info = lambda info: msgspec.structs.replace(info, state=StreamState.ARCHIVED)

    assert (await verify_log(altered)).counts == {"stream": 2}


async def test_what_is_appended_meanwhile_is_not_wrong(
    altered: _Altered, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = altered.read_streams

    async def appended_before(**options: Any) -> tuple[StreamInfo, ...]:
        await appended(altered, "order-1", new_event())
        await appended(altered, "order-3", new_event())
        return await look(**options)

    monkeypatch.setattr(altered, "read_streams", appended_before)

    assert (await verify_log(altered)).counts == {}


async def test_findings_are_counted_past_those_that_are_kept(storage: MemoryStorage) -> None:
    count = FINDINGS_MAX + 5
    await appended(storage, "order-1", *(new_event(data="{") for _ in range(count)))

    verified = await verify_log(storage)

    assert verified.counts == {"json": count}
    assert len(verified.findings) == FINDINGS_MAX


class OrderPlaced(Event, context="sales"):
    total: int


async def test_with_a_codec_payloads_are_read_as_their_types(storage: MemoryStorage) -> None:
    registry = TypeRegistry()
    registry.register(OrderPlaced)
    await appended(
        storage,
        "order-1",
        new_event(data='{"total":1}'),
        new_event(data='{"total":"no"}'),
        new_event("sales.forgotten", "{}"),
        new_event("sales.forgotten", "{}"),
    )

    verified = await verify_log(storage, codec=EventCodec(registry))

    assert verified.counts == {"payload": 1, "unknown_type": 2}
    assert len(verified.findings) == 2
