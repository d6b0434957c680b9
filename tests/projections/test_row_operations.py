"""Projections that write rows themselves: any number per event, once in effect."""

import pytest

from headwater import App, BoundedContext, Collection, Event, ReadModel
from headwater.errors import ConfigurationError, SubscriptionFailedError, WiringError
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from tests.subscriptions.ledger import Balances

geography = BoundedContext("geography")


class Moved(Event):
    person: str
    before: str | None
    after: str


class City(ReadModel, key="name"):
    name: str
    people: int = 0


@geography.projection
class CitySizes:
    async def handle_moved(self, event: Moved, cities: Collection[City]) -> None:
        if event.before is not None:
            await self._change(cities, event.before, -1)
        await self._change(cities, event.after, 1)

    async def _change(self, cities: Collection[City], name: str, by: int) -> None:
        if name == "Atlantis":
            raise LookupError("no such city")
        city = await cities.get(name) or City(name)
        cities.put(City(name, city.people + by))


async def test_one_event_changes_rows_of_several_keys(storage: Storage) -> None:
    app = App("places", storage=storage)
    app.include(geography)
    async with app:
        events = [Moved("ada", None, "Turin"), Moved("bob", None, "Turin")]
        events += [Moved("ada", "Turin", "London")]
        store = app.event_store
        await store.append("geography.person-1", events, expected=ExpectedVersion.any())
        await app.settle()

        async with store.unit_of_work() as unit:
            cities = unit.collection(City)
            assert [await cities.get(name) for name in ("Turin", "London")] == [
                City("Turin", 1),
                City("London", 1),
            ]


async def test_what_a_failing_event_wrote_is_dropped_and_what_came_before_it_stays(
    storage: Storage,
) -> None:
    app = App("places", storage=storage)
    app.include(geography)
    async with app:
        store = app.event_store
        events = [Moved("ada", None, "Turin"), Moved("ada", "Turin", "Atlantis")]
        await store.append("geography.person-1", events, expected=ExpectedVersion.any())
        with pytest.raises(SubscriptionFailedError, match="no such city"):
            await app.settle()

        async with store.unit_of_work() as unit:
            assert await unit.collection(City).get("Turin") == City("Turin", 1)


def test_rows_that_are_written_by_hand_live_with_the_log() -> None:
    context = BoundedContext("other")

    with pytest.raises(ConfigurationError, match="live with the log"):
        context.projection(database="reports")(CitySizes)


def test_a_fold_says_its_name_and_partitions_in_its_header() -> None:
    context = BoundedContext("other")

    with pytest.raises(ConfigurationError, match="in the class header"):
        context.projection(name="mine", partitions=3)(Balances)


def test_a_fold_whose_constructor_wants_something_is_a_fault() -> None:
    context = BoundedContext("other")

    @context.projection
    class Needy(Balances):
        def __init__(self, rates: dict[str, int]) -> None:
            self.rates = rates

    app = App("places")
    app.include(context)

    with pytest.raises(WiringError, match=r"Needy can't be made: .*rates") as raised:
        app.check()
    assert Needy.__name__ in str(raised.value)
