"""A unit that is committed takes nothing more, and what happened stays as it happened."""

import asyncio

import pytest

from headwater import Aggregate, Event, applies
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ConcurrencyError, ConfigurationError, UnitOfWorkError
from headwater.event_store import EventStore
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.unit_of_work.shop import Account
from tests.unit_of_work.test_repository import balance, deposit, opened


class Listed(Event):
    items: list[str]


class Added(Event):
    item: str


class Shelf(Aggregate[str]):
    items: list[str]

    @applies
    def _listed(self, event: Listed) -> None:
        self.items = event.items

    @applies
    def _added(self, event: Added) -> None:
        self.items.append(event.item)


async def test_a_list_that_the_state_took_over_does_not_change_what_was_recorded(
    units: Units,
) -> None:
    async with units.unit_of_work() as unit:
        shelf = Shelf("a")
        shelf.record(Listed(["x"]))
        shelf.record(Added("y"))
        unit.repository(Shelf).add(shelf)

    assert (await units.new().repository(Shelf).get("a")).items == ["x", "y"]


async def test_a_list_that_its_owner_changes_later_does_not_change_what_was_appended(
    units: Units, storage: MemoryStorage
) -> None:
    items: list[str] = []
    async with units.unit_of_work() as unit:
        for item in "abc":
            items.append(item)
            unit.append("shelf-1", Listed(items))

    stored = await storage.read_stream("shelf-1")

    assert [event.data for event in stored] == [
        '{"items":["a"]}',
        '{"items":["a","b"]}',
        '{"items":["a","b","c"]}',
    ]


async def test_nothing_joins_while_the_commit_is_under_way(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await deposit(unit, "7")
    committing = asyncio.ensure_future(unit.commit())
    await asyncio.sleep(0)

    with pytest.raises(UnitOfWorkError, match="done"):
        unit.enter()
    with pytest.raises(UnitOfWorkError, match="done"):
        unit.append("shelf-1", Added("x"))
    await committing


async def test_what_is_recorded_during_the_commit_is_not_taken_for_stored(units: Units) -> None:
    unit = units.new()
    account = Account.open("7", "Ada")
    unit.repository(Account).add(account)
    committing = asyncio.ensure_future(unit.commit())
    await asyncio.sleep(0)
    account.deposit(5)

    await committing

    assert (account.committed_version, len(account.uncommitted_events)) == (1, 1)


async def test_a_unit_does_not_commit_while_a_message_inside_is_under_way(units: Units) -> None:
    await opened(units)
    unit = units.new()
    await deposit(unit, "7")
    unit.enter()

    with pytest.raises(UnitOfWorkError, match="still under way"):
        await unit.commit()

    assert await balance(units) == 100


async def test_the_unit_of_a_failed_try_is_closed(units: Units) -> None:
    units_seen: list[UnitOfWork] = []

    async def work(unit: UnitOfWork) -> None:
        units_seen.append(unit)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await units.run(work)

    with pytest.raises(UnitOfWorkError, match="done"):
        units_seen[0].enter()


async def test_a_conflict_that_is_not_the_units_own_is_not_tried_again(
    units: Units, storage: MemoryStorage
) -> None:
    store, tries = EventStore(storage), 0

    async def work(_unit: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        await store.append("shelf-1", [Added("x")], expected=ExpectedVersion.exactly(9))

    with pytest.raises(ConcurrencyError):
        await units.run(work)

    assert tries == 1


async def test_a_decision_on_tagged_events_is_made_again_if_another_one_came(
    units: Units, storage: MemoryStorage
) -> None:
    tries = 0
    units.codec.registry.register(Added)

    async def enrol(unit: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        head = await storage.head()
        unit.require(tags=("course-1",), after=head, types=(Event,))
        if tries == 1:
            async with units.unit_of_work() as other:
                other.append("enrolment-1", Added("ada"), tags=("course-1", "ada"))
        unit.append("enrolment-2", Added("bob"), tags=("course-1", "bob"))

    await units.run(enrol)

    assert tries == 2
    assert await storage.head() == 2


async def test_two_children_that_append_to_one_stream_are_an_error(units: Units) -> None:
    unit = units.new()
    one, two = unit.child(), unit.child()
    one.append("shelf-1", Added("x"))
    two.append("shelf-1", Added("y"))
    unit.merge(one)

    with pytest.raises(UnitOfWorkError, match="'shelf-1' was written by two handlers"):
        unit.merge(two)

    three = unit.child()
    three.append("shelf-1", Added("z"))
    unit.merge(three)


async def test_a_condition_on_types_that_nobody_knows_is_refused(units: Units) -> None:
    with pytest.raises(ConfigurationError, match="No event of Listed is known"):
        units.new().require(tags=("a",), after=0, types=(Listed,))
