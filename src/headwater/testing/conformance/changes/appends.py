"""Events reach their streams: versions, positions, guards, times, and text of every kind."""

from datetime import timedelta

import msgspec
import pytest

from headwater.clock import microseconds_since_epoch
from headwater.errors import ConcurrencyError, InvalidNameError
from headwater.ports.changes import NO_CHANGES, Appended, Changes, Committed, NewEvent
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    id_bytes,
    new_event,
    new_events,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock

NOT_STREAM_IDS = ["", "order-\0", "order-\n", "order-\x7f", "order-\ud800", "x" * 513]
STREAM_IDS = [
    "order-17",
    "no_dash",
    "-",
    "bestellung-äöü",
    "注文-三",
    "🛒-👧",
    "order-'; DROP TABLE events; --",
    'order-"%_\\?:$1',
    "$timers-1",
    "x" * 512,
]


class AppendsConformance(StorageSuite):
    """What appends promise when nothing is repeated and nothing stands against them."""

    async def test_versions_count_within_a_stream_and_positions_over_the_whole_log(
        self, storage: Storage
    ) -> None:
        first = await storage.commit(appending("order-1", *new_events(2)))
        second = await storage.commit(appending("order-2", *new_events(1)))
        third = await storage.commit(appending("order-1", *new_events(1)))

        assert first == Committed(2, (Appended("order-1", version=2, position=2),))
        assert second == Committed(3, (Appended("order-2", version=1, position=3),))
        assert third == Committed(4, (Appended("order-1", version=3, position=4),))
        assert [(e.position, e.stream_id, e.version) for e in await whole_log(storage)] == [
            (1, "order-1", 1),
            (2, "order-1", 2),
            (3, "order-2", 1),
            (4, "order-1", 3),
        ]

    async def test_an_event_comes_back_as_it_was_appended(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        event = NewEvent(
            id=id_bytes(),
            type="sales.order-placed",
            schema_version=7,
            data='{"a":[1,2.5,null,"\\u0000 ü 🛒"],"b":{}}',
            occurred_at=-1_234_567_890_123_456,
            correlation_id=id_bytes(),
            causation_id=id_bytes(),
            actor="anna@example.com",
            tenant="north",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            headers='{"reason":"gift"}',
            tags=("customer:7", "a", "order:1"),
        )

        await storage.commit(appending("order-1", event))

        (stored,) = await storage.read_stream("order-1")
        assert (await storage.read_log()).events == (stored,)
        told = msgspec.structs.asdict(stored)
        assert told == msgspec.structs.asdict(event) | {
            "position": 1,
            "stream_id": "order-1",
            "version": 1,
            "recorded_at": stored.recorded_at,
        }

    async def test_what_an_event_leaves_out_comes_back_as_none(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))

        (stored,) = await storage.read_stream("order-1")
        assert (stored.correlation_id, stored.causation_id, stored.actor) == (None, None, None)
        assert (stored.tenant, stored.traceparent, stored.headers) == (None, None, None)
        assert stored.tags == ()

    @pytest.mark.parametrize(
        ("expected", "version"),
        [
            (ExpectedVersion.exactly(0), 0),
            (ExpectedVersion.exactly(2), 2),
            (ExpectedVersion.no_stream(), 0),
            (ExpectedVersion.stream_exists(), 1),
            (ExpectedVersion.any(), 0),
            (ExpectedVersion.any(), 3),
        ],
    )
    async def test_an_append_is_accepted_where_its_expected_version_holds(
        self, storage: Storage, expected: ExpectedVersion, version: int
    ) -> None:
        if version:
            await storage.commit(appending("order-1", *new_events(version)))

        committed = await storage.commit(appending("order-1", new_event(), expected=expected))

        assert committed.appends == (Appended("order-1", version + 1, version + 1),)

    @pytest.mark.parametrize(
        ("expected", "version"),
        [
            (ExpectedVersion.exactly(0), 1),
            (ExpectedVersion.exactly(1), 0),
            (ExpectedVersion.exactly(1), 2),
            (ExpectedVersion.exactly(3), 2),
            (ExpectedVersion.no_stream(), 1),
            (ExpectedVersion.stream_exists(), 0),
        ],
    )
    @pytest.mark.parametrize("events", [0, 1])
    async def test_an_append_is_refused_where_its_expected_version_does_not_hold(
        self, storage: Storage, expected: ExpectedVersion, version: int, events: int
    ) -> None:
        if version:
            await storage.commit(appending("order-1", *new_events(version)))
        before = await whole_log(storage)

        with pytest.raises(ConcurrencyError) as refusal:
            await storage.commit(appending("order-1", *new_events(events), expected=expected))

        assert (refusal.value.stream_id, refusal.value.expected) == ("order-1", expected)
        assert refusal.value.actual == version
        assert await whole_log(storage) == before

    async def test_a_refused_commit_uses_up_no_position(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))
        with pytest.raises(ConcurrencyError):
            await storage.commit(
                appending("order-1", *new_events(5), expected=ExpectedVersion.no_stream())
            )

        committed = await storage.commit(appending("order-2", new_event()))

        assert committed.position == 2

    async def test_an_append_without_events_guards_and_answers_with_the_version(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        committed = await storage.commit(
            Changes(
                appends=(
                    append("order-1", expected=ExpectedVersion.exactly(2)),
                    append("order-2", expected=ExpectedVersion.no_stream()),
                )
            )
        )

        assert committed == Committed(0, (Appended("order-1", 2, 0), Appended("order-2", 0, 0)))
        assert await storage.head() == 2

    async def test_an_append_sees_those_before_it_in_the_same_value(self, storage: Storage) -> None:
        committed = await storage.commit(
            Changes(
                appends=(
                    append("order-1", *new_events(2), expected=ExpectedVersion.no_stream()),
                    append("order-2", new_event(), expected=ExpectedVersion.no_stream()),
                    append("order-1", new_event(), expected=ExpectedVersion.exactly(2)),
                    append("order-1", expected=ExpectedVersion.exactly(3)),
                )
            )
        )

        assert committed == Committed(
            4,
            (
                Appended("order-1", 2, 2),
                Appended("order-2", 1, 3),
                Appended("order-1", 3, 4),
                Appended("order-1", 3, 0),
            ),
        )

    async def test_a_later_append_of_the_same_value_can_refuse_the_whole(
        self, storage: Storage
    ) -> None:
        with pytest.raises(ConcurrencyError) as refusal:
            await storage.commit(
                Changes(
                    appends=(
                        append("order-1", new_event()),
                        append("order-1", new_event(), expected=ExpectedVersion.no_stream()),
                    )
                )
            )

        assert refusal.value.actual == 1
        assert await whole_log(storage) == []

    async def test_changes_that_hold_nothing_are_committed(self, storage: Storage) -> None:
        assert await storage.commit(NO_CHANGES) == Committed()
        assert await storage.head() == 0

    @pytest.mark.parametrize("stream_id", STREAM_IDS)
    async def test_any_printable_text_of_up_to_512_characters_names_a_stream(
        self, storage: Storage, stream_id: str
    ) -> None:
        await storage.commit(appending(stream_id, new_event()))

        assert [e.stream_id for e in await storage.read_stream(stream_id)] == [stream_id]

    @pytest.mark.parametrize("stream_id", NOT_STREAM_IDS, ids=ascii)
    async def test_a_stream_id_that_cannot_be_one_is_refused(
        self, storage: Storage, stream_id: str
    ) -> None:
        with pytest.raises(InvalidNameError) as refusal:
            await storage.commit(
                Changes(appends=(append("order-1", new_event()), append(stream_id, new_event())))
            )

        assert refusal.value.name == stream_id
        assert await storage.head() == 0

    async def test_text_that_looks_like_sql_is_only_text(self, storage: Storage) -> None:
        text = "'); DROP TABLE events; -- \" ? :a $1 %s {0} \\ \u2028"
        data, headers = (msgspec.json.encode(some).decode() for some in (text, {text: text}))
        event = msgspec.structs.replace(
            new_event(text, data, tags=(text, "'"), actor=text), tenant=text, headers=headers
        )

        await storage.commit(appending("order-1", event))

        (stored,) = await storage.read_stream("order-1")
        assert (stored.type, stored.data, stored.tags) == (event.type, event.data, event.tags)
        assert (stored.actor, stored.tenant, stored.headers) == (text, text, headers)

    async def test_a_megabyte_of_data_comes_back_whole(self, storage: Storage) -> None:
        data = '{"picture":"' + "ü7🛒x" * 125_000 + '"}'
        assert len(data.encode()) > 1_000_000

        await storage.commit(appending("order-1", new_event(data=data), new_event()))

        assert (await storage.read_stream("order-1"))[0].data == data

    async def test_recorded_at_never_falls_below_that_of_the_event_before(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        for step in (timedelta(hours=1), timedelta(hours=-2), timedelta(minutes=30)):
            await storage.commit(appending("order-1", *new_events(2)))
            if step > timedelta():
                clock.advance(step)
            else:
                clock.fall_back(-step)
        await storage.commit(appending("order-2", new_event()))

        times = [event.recorded_at for event in await whole_log(storage)]
        assert times == sorted(times)

    async def test_recorded_at_is_the_time_in_microseconds(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.commit(appending("order-1", new_event()))
        clock.advance(timedelta(seconds=90, microseconds=7))
        await storage.commit(appending("order-1", new_event()))

        first, second = await storage.read_stream("order-1")
        if self.takes_time_from_clock:
            assert second.recorded_at == microseconds_since_epoch(clock.now())
            assert second.recorded_at - first.recorded_at == 90_000_007
        else:
            assert first.recorded_at <= second.recorded_at
