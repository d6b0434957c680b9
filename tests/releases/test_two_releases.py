"""Decisions of old code count what new code writes, if a release between has learnt to read it."""

from typing import Any, cast

import pytest

from headwater import (
    App,
    BoundedContext,
    DecisionModel,
    Event,
    EventCriteria,
    EventStore,
    ExpectedVersion,
    applies,
)
from headwater.adapters.storage.memory import MemoryStorage
from headwater.serialization.upcasting import Upcasters
from headwater.subscriptions.status import SubscriptionState


class SeatTaken(Event, name="school.seat-taken"):
    course: str


class SeatReserved(Event, name="school.seat-reserved"):
    course: str


class TakenSeats(DecisionModel):
    taken: int = 0

    def __init__(self, course: str) -> None:
        super().__init__(EventCriteria(f"course:{course}"))

    @applies
    def _taken(self, event: SeatTaken) -> None:
        self.taken += 1


class ReservedSeats(DecisionModel):
    taken: int = 0

    def __init__(self, course: str) -> None:
        super().__init__(EventCriteria(f"course:{course}"))

    @applies
    def _reserved(self, event: SeatReserved) -> None:
        self.taken += 1


def renamed(old: str, new: str) -> Upcasters:
    upcasters = Upcasters()
    upcasters.rename_event(old, to=new)
    return upcasters


async def book(store: EventStore, model: type[DecisionModel], event: type[Event]) -> bool:
    """Book the only seat of a course, if it is free; return whether it was."""
    async with store.unit_of_work() as unit:
        seats = await unit.load(cast("Any", model)("math"))
        if seats.taken:
            return False
        unit.append("school.course-math", cast("Any", event)(course="math"), tags=("course:math",))
    return True


@pytest.mark.parametrize("new_first", [True, False])
async def test_a_release_that_reads_the_new_name_decides_rightly_beside_one_that_writes_it(
    new_first: bool,  # noqa: FBT001 - a parameter
) -> None:
    storage = MemoryStorage()
    forth = renamed("school.seat-taken", "school.seat-reserved")
    back = renamed("school.seat-reserved", "school.seat-taken")

    async with (
        EventStore(storage, types=[SeatTaken], upcasters=back) as reading,
        EventStore(storage, types=[SeatReserved], upcasters=forth) as writing,
    ):
        news = (writing, ReservedSeats, SeatReserved)
        olds = (reading, TakenSeats, SeatTaken)
        first, second = (news, olds) if new_first else (olds, news)

        assert await book(*first)
        assert not await book(*second)


async def test_workers_of_both_work_the_same_subscriptions(tmp_path: Any) -> None:
    reading, writing = BoundedContext("school"), BoundedContext("school")
    reading.upcasters.rename_event("school.seat-reserved", to="school.seat-taken")
    writing.upcasters.rename_event("school.seat-taken", to="school.seat-reserved")
    got: list[str] = []

    async def confirm_taken(event: SeatTaken) -> None:
        got.append(event.course)

    async def confirm_reserved(event: SeatReserved) -> None:
        got.append(event.course)

    reading.subscriber(name="confirm")(confirm_taken)
    writing.subscriber(name="confirm")(confirm_reserved)
    url = f"sqlite:///{tmp_path}/school.db"
    before, after = App("school", storage=url), App("school", storage=url)
    before.include(reading)
    after.include(writing)

    async with before, after:
        for app, event in ((before, SeatTaken("a")), (after, SeatReserved("b"))):
            await app.event_store.append("school.course-1", [event], expected=ExpectedVersion.any())
        await before.settle()
        await after.settle()

        states = {app.status()[0].state for app in (before, after)}

    assert set(got) == {"a", "b"}
    assert SubscriptionState.WAITING not in states
