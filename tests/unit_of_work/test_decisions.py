"""Decisions across aggregates: read by criteria, compared at the commit."""

import asyncio

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.decision_model import DecisionModel, EventCriteria
from headwater.errors import ApplyError, ConfigurationError, TagConditionError, UnitOfWorkError
from headwater.messages import Event
from headwater.ports.log import EVERYTHING, LogFilter, LogPage
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units


class Taken(Event):
    seat: str


class Freed(Event):
    seat: str


class Noted(Event):
    text: str


class Desk(Aggregate[str]):
    def take(self, seat: str) -> None:
        self.record(Taken(seat), tags=("room:1",))

    @applies
    def _taken(self, event: Taken) -> None: ...


class Room(DecisionModel):
    told: list[str] = []  # noqa: RUF012 - each instance gets its own

    def __init__(self, *criteria: EventCriteria) -> None:
        super().__init__(*(criteria or (EventCriteria("room:1"),)))

    @applies
    def _taken(self, event: Taken) -> None:
        self.told.append(f"+{event.seat}")

    @applies
    def _freed(self, event: Freed) -> None:
        self.told.remove(f"+{event.seat}")


class Everything(DecisionModel):
    count: int = 0

    @applies
    def _any(self, event: Event) -> None:
        self.count += 1


async def put(units: Units, event: Event, *tags: str, stream: str = "room-1") -> None:
    async with units.unit_of_work() as unit:
        unit.append(stream, event, tags=tags)


async def test_a_model_is_made_of_the_events_with_its_tags_and_types(units: Units) -> None:
    await put(units, Taken("a"), "room:1")
    await put(units, Taken("b"), "room:2")
    await put(units, Noted("c"), "room:1")
    await put(units, Taken("d"), "x", "room:1", stream="$internal-1")

    room = await units.new().load(Room())

    assert room.told == ["+a", "+d"]
    assert room.position == 4


async def test_an_event_that_meets_several_criteria_counts_once_and_in_the_order_of_the_log(
    units: Units,
) -> None:
    await put(units, Taken("a"), "room:2")
    await put(units, Taken("b"), "room:1", "room:2")
    await put(units, Taken("c"), "room:1")

    room = await units.new().load(Room(EventCriteria("room:1"), EventCriteria("room:2")))

    assert room.told == ["+a", "+b", "+c"]


async def test_a_criterion_can_name_types_of_its_own(units: Units) -> None:
    await put(units, Taken("a"), "room:1")
    await put(units, Freed("a"), "room:1")

    room = await units.new().load(Room(EventCriteria("room:1", types=[Taken])))

    assert room.told == ["+a"]


async def test_events_of_a_base_class_count(units: Units) -> None:
    await put(units, Taken("a"), "room:1")
    await put(units, Noted("a"), "room:1")

    model = await units.new().load(Everything(EventCriteria("room:1")))

    assert model.count == 2


async def test_events_of_a_class_that_this_process_has_not_used_yet_count(
    units: Units, storage: MemoryStorage
) -> None:
    await put(units, Taken("a"), "room:1")
    other = Units(storage, codec=EventCodec(TypeRegistry()))

    room = await other.new().load(Room())

    assert room.told == ["+a"]


async def test_a_commit_is_refused_if_a_further_event_has_come(units: Units) -> None:
    unit = units.new()
    await unit.load(Room())
    await put(units, Taken("a"), "room:1")
    unit.append("room-2", Noted("decided without it"))

    with pytest.raises(TagConditionError):
        await unit.commit()


async def test_each_criterion_is_compared(units: Units) -> None:
    for tag in ("room:1", "room:2"):
        unit = units.new()
        await unit.load(Room(EventCriteria("room:1"), EventCriteria("room:2")))
        await put(units, Taken("a"), tag)
        unit.append("room-2", Noted("decided without it"))

        with pytest.raises(TagConditionError):
            await unit.commit()


async def test_events_that_the_model_is_not_made_of_don_t_matter(units: Units) -> None:
    unit = units.new()
    await unit.load(Room())
    await put(units, Taken("a"), "room:2")
    await put(units, Noted("b"), "room:1")
    unit.append("room-2", Taken("c"), tags=("room:1",))

    committed = await unit.commit()

    assert committed.position == 3


async def test_what_was_only_read_is_not_compared(units: Units) -> None:
    unit, query = units.new(), units.new(reads_only=True)
    for reading in (unit, query):
        await reading.load(Room())
    await put(units, Taken("a"), "room:1")

    await unit.commit()
    await query.commit()


async def test_the_handler_runs_again_until_nothing_has_come_between(units: Units) -> None:
    seen: list[list[str]] = []

    async def work(unit: UnitOfWork) -> None:
        room = await unit.load(Room())
        seen.append(list(room.told))
        if len(seen) == 1:
            await put(units, Taken("a"), "room:1")
        unit.append("room-2", Taken("b"), tags=("room:1",))

    await units.run(work)

    assert seen == [[], ["+a"]]


async def test_what_the_unit_has_collected_counts(units: Units) -> None:
    await put(units, Taken("a"), "room:1")
    unit = units.new()
    unit.append("room-1", Taken("b"), tags=("room:1",))
    unit.append("room-1", Taken("c"), tags=("room:2",))
    desk = Desk("d")
    desk.take("e")
    unit.repository(Desk).add(desk)
    child = unit.child()
    child.append("room-1", Taken("f"), tags=("room:1",))

    assert (await unit.load(Room())).told == ["+a", "+e", "+b"]
    assert (await child.load(Room())).told == ["+a", "+e", "+b", "+f"]


async def test_a_parallel_handler_can_t_decide_without_what_another_has_appended(
    units: Units,
) -> None:
    unit = units.new()
    one, two = unit.child(), unit.child()
    for child in (one, two):
        await child.load(Room())
    one.append("room-1", Taken("a"), tags=("room:1",))
    two.append("room-2", Taken("b"), tags=("room:1",))
    unit.merge(one)

    with pytest.raises(UnitOfWorkError, match="Taken was appended to 'room-1'"):
        unit.merge(two)


async def test_children_that_decide_one_after_another_are_merged_and_compared(
    units: Units,
) -> None:
    unit = units.new()
    for seat in ("a", "b"):
        child = unit.child()
        await child.load(Room())
        child.append(f"room-{seat}", Taken(seat), tags=("room:1",))
        unit.merge(child)
    await put(units, Taken("c"), "room:1")

    with pytest.raises(TagConditionError):
        await unit.commit()


async def test_a_model_is_loaded_once(units: Units) -> None:
    room = await units.new().load(Room())

    with pytest.raises(UnitOfWorkError, match="Room was loaded before"):
        await units.new().load(room)


async def test_a_model_that_can_t_take_an_event_says_where_it_stands(units: Units) -> None:
    await put(units, Freed("a"), "room:1")

    with pytest.raises(ApplyError, match="Room room-1 can't apply Freed as version 1"):
        await units.new().load(Room())


def test_a_model_says_which_events_it_is_made_of() -> None:
    class Nothing(DecisionModel): ...

    with pytest.raises(ConfigurationError, match="Everything does not say which events"):
        Everything()
    with pytest.raises(ConfigurationError, match="Nothing has no @applies methods"):
        Nothing(EventCriteria("room:1"))


async def test_types_that_nobody_knows_are_refused() -> None:
    storage = MemoryStorage()
    await storage.open()
    units = Units(storage, codec=EventCodec(TypeRegistry()))

    with pytest.raises(ConfigurationError, match="No event of Event is known"):
        await units.new().load(Everything(EventCriteria("room:1")))


class Racing(MemoryStorage):
    """Appends an event when the first of two criteria was read and the second was not yet."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.raced = asyncio.Event()

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        assert after_id is None
        self.reads += 1
        if self.reads > 1:
            await self.raced.wait()
            return await super().read_log(after=after, where=where, limit=limit)
        page = await super().read_log(after=after, where=where, limit=limit)
        units = Units(self, codec=EventCodec(TypeRegistry()))
        await put(units, Taken("late"), "room:1", "room:2")
        self.raced.set()
        return page


async def test_all_criteria_are_read_as_of_one_position() -> None:
    storage = Racing()
    await storage.open()
    units = Units(storage, codec=EventCodec(TypeRegistry()))
    unit = units.new()

    room = await unit.load(Room(EventCriteria("room:1"), EventCriteria("room:2")))

    assert (room.told, room.position) == ([], 0)
    unit.append("room-2", Noted("decided without it"))
    with pytest.raises(TagConditionError):
        await unit.commit()
