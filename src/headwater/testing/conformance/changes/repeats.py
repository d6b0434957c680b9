"""An append that comes again is recognised by its events' ids, before versions are looked at."""

import msgspec
import pytest

from headwater.errors import IdempotencyConflictError
from headwater.ports.changes import Appended, Changes, Committed, NewEvent
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    as_uuid,
    id_bytes,
    new_event,
    new_events,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite


async def assert_conflict(storage: Storage, changes: Changes, *events: NewEvent) -> None:
    """Assert that *changes* are refused for the id of one of *events*, and write nothing."""
    before = await whole_log(storage)

    with pytest.raises(IdempotencyConflictError) as refusal:
        await storage.commit(changes)

    assert refusal.value.id in {as_uuid(event.id) for event in events}
    assert await whole_log(storage) == before


class RepeatsConformance(StorageSuite):
    """Which appends are repetitions, what they answer, and which ones are conflicts."""

    async def test_a_repeated_append_gets_the_first_result_and_appends_nothing(
        self, storage: Storage
    ) -> None:
        changes = appending("order-1", *new_events(3), expected=ExpectedVersion.no_stream())
        first = await storage.commit(changes)
        await storage.commit(appending("order-1", new_event()))

        assert await storage.commit(changes) == first
        assert first == Committed(3, (Appended("order-1", 3, 3),))
        assert await storage.head() == 4

    @pytest.mark.parametrize(
        "expected",
        [
            ExpectedVersion.no_stream(),
            ExpectedVersion.exactly(17),
            ExpectedVersion.stream_exists(),
            ExpectedVersion.any(),
        ],
    )
    async def test_a_repetition_is_recognised_whatever_version_it_expects(
        self, storage: Storage, expected: ExpectedVersion
    ) -> None:
        events = new_events(2)
        first = await storage.commit(appending("order-1", *events))

        assert await storage.commit(appending("order-1", *events, expected=expected)) == first

    async def test_context_does_not_count_as_content(self, storage: Storage) -> None:
        event = new_event(tags=("a",))
        first = await storage.commit(appending("order-1", event))
        in_another_context = msgspec.structs.replace(
            event,
            occurred_at=1,
            correlation_id=id_bytes(),
            causation_id=id_bytes(),
            actor="anna",
            tenant="north",
            traceparent="00-1",
            headers="{}",
            tags=("b", "c"),
        )

        assert await storage.commit(appending("order-1", in_another_context)) == first
        assert (await storage.read_stream("order-1"))[0].actor is None

    @pytest.mark.parametrize(
        "change",
        [{"type": "sales.order-shipped"}, {"schema_version": 2}, {"data": '{"total":"0"}'}],
        ids=str,
    )
    async def test_a_known_id_with_other_content_is_a_conflict(
        self, storage: Storage, change: dict[str, object]
    ) -> None:
        event = new_event()
        await storage.commit(appending("order-1", event))

        other = msgspec.structs.replace(event, **change)
        await assert_conflict(storage, appending("order-1", other), event)

    async def test_a_known_id_in_another_stream_is_a_conflict(self, storage: Storage) -> None:
        event = new_event()
        await storage.commit(appending("order-1", event))

        await assert_conflict(storage, appending("order-2", event), event)

    async def test_known_events_in_another_order_are_a_conflict(self, storage: Storage) -> None:
        first, second = events = new_events(2)
        await storage.commit(appending("order-1", *events))

        await assert_conflict(storage, appending("order-1", second, first), *events)

    async def test_known_events_that_did_not_follow_one_another_are_a_conflict(
        self, storage: Storage
    ) -> None:
        first, second, third = new_events(3)
        await storage.commit(appending("order-1", first, second, third))

        await assert_conflict(storage, appending("order-1", first, third), first, third)

    @pytest.mark.parametrize("new_first", [True, False])
    async def test_known_and_new_events_in_one_append_are_a_conflict(
        self, storage: Storage, *, new_first: bool
    ) -> None:
        known, new = new_events(2)
        await storage.commit(appending("order-1", known))

        events = (new, known) if new_first else (known, new)
        await assert_conflict(storage, appending("order-1", *events), known)

    async def test_an_id_that_stands_twice_in_one_append_is_a_conflict(
        self, storage: Storage
    ) -> None:
        event = new_event()

        await assert_conflict(storage, appending("order-1", event, event), event)

    async def test_an_id_that_is_known_and_stands_twice_is_a_conflict(
        self, storage: Storage
    ) -> None:
        event = new_event()
        await storage.commit(appending("order-1", event))

        await assert_conflict(storage, appending("order-1", event, event), event)

    async def test_a_part_of_an_earlier_append_is_a_repetition(self, storage: Storage) -> None:
        first, second, third = new_events(3)
        await storage.commit(appending("order-1", first, second, third))

        committed = await storage.commit(appending("order-1", first, second))

        assert committed == Committed(2, (Appended("order-1", 2, 2),))

    async def test_two_appends_that_followed_one_another_can_be_repeated_as_one(
        self, storage: Storage
    ) -> None:
        first, second = new_events(2)
        await storage.commit(appending("order-1", first))
        await storage.commit(appending("order-2", new_event()))
        await storage.commit(appending("order-1", second))

        committed = await storage.commit(appending("order-1", first, second))

        assert committed == Committed(3, (Appended("order-1", 2, 3),))

    async def test_an_append_can_repeat_one_before_it_in_the_same_value(
        self, storage: Storage
    ) -> None:
        events = new_events(2)

        committed = await storage.commit(
            Changes(appends=(append("order-1", *events), append("order-1", *events)))
        )

        answer = Appended("order-1", 2, 2)
        assert committed == Committed(2, (answer, answer))
        assert await storage.head() == 2

    async def test_a_conflict_with_an_append_before_it_in_the_same_value_refuses_the_whole(
        self, storage: Storage
    ) -> None:
        event = new_event()

        await assert_conflict(
            storage,
            Changes(appends=(append("order-1", event), append("order-2", event))),
            event,
        )

    async def test_a_repetition_beside_something_new_is_told_append_by_append(
        self, storage: Storage
    ) -> None:
        known = new_event()
        await storage.commit(appending("order-1", known))

        committed = await storage.commit(
            Changes(appends=(append("order-1", known), append("order-2", new_event())))
        )

        assert committed == Committed(2, (Appended("order-1", 1, 1), Appended("order-2", 1, 2)))

    async def test_a_refused_event_is_not_known(self, storage: Storage) -> None:
        event = new_event()
        with pytest.raises(IdempotencyConflictError):
            await storage.commit(appending("order-1", event, event))

        committed = await storage.commit(appending("order-1", event))

        assert committed == Committed(1, (Appended("order-1", 1, 1),))
