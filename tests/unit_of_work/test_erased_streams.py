"""A stream whose events were all erased goes on at its version; of others nothing is asked."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import AggregateExistsError, ConcurrencyError
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.ports.log import StreamInfo
from headwater.unit_of_work.units import Units
from tests.unit_of_work.ledger import Ledger, enter, entries, new_units, sums

STREAM = "app.ledger-7"


class AskedStorage(MemoryStorage):
    """Counts how often it is asked about a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def stream_info(self, stream_id: str) -> StreamInfo:
        self.asked += 1
        return await super().stream_info(stream_id)


@pytest.fixture
async def asked() -> AskedStorage:
    storage = AskedStorage()
    await storage.open()
    return storage


async def erase(storage: MemoryStorage) -> None:
    version = (await storage.stream_info(STREAM)).version
    change = StreamChange(STREAM, StreamAction.TRUNCATE, version + 1)
    await storage.commit(Changes(streams=(change,)))


@pytest.fixture
async def erased(asked: AskedStorage) -> Units:
    """Return units on a storage whose one stream has lost both of its events."""
    units = new_units(asked)
    await enter(units, 1, 2)
    await erase(asked)
    return units


async def test_nothing_is_asked_of_a_stream_that_is_new(asked: AskedStorage) -> None:
    units = new_units(asked)

    await enter(units, 1)
    async with units.unit_of_work() as unit:
        await unit.decide(sums(), "8", 2)

    assert asked.asked == 0


async def test_an_aggregate_goes_on_at_the_version_of_its_stream(erased: Units) -> None:
    await enter(erased, 3)

    ledger = await erased.new().repository(Ledger).get("7")
    assert (ledger.entries, ledger.version) == ([3], 3)


async def test_a_child_and_the_unit_around_it_do(erased: Units) -> None:
    async with erased.unit_of_work() as unit:
        await unit.repository(Ledger).find("7")
        child = unit.child()
        ledger = Ledger("7")
        assert await child.repository(Ledger).find("7") is None
        child.repository(Ledger).add(ledger)
        ledger.enter(3)
        unit.merge(child)

    assert await entries(erased) == [3]


async def test_a_decider_does(erased: Units) -> None:
    decider = sums()
    async with erased.unit_of_work() as unit:
        for command in (3, 4):
            await unit.decide(decider, "7", command)

    loaded = await erased.decider_type(decider).load("7")
    assert (loaded.state.entries, loaded.version) == ((3, 4), 4)


async def test_what_was_not_there_and_is_only_read_is_guarded(erased: Units) -> None:
    async with erased.unit_of_work() as unit:
        assert await unit.repository(Ledger).find("7") is None
        other = Ledger("8")
        unit.repository(Ledger).add(other)
        other.enter(1)

    assert await entries(erased, id="8") == [1]


async def test_one_that_has_an_event_meanwhile_conflicts(erased: Units) -> None:
    unit = erased.new()
    await unit.decide(sums(), "7", 3)
    await enter(erased, 4)

    with pytest.raises(ConcurrencyError):
        await unit.commit()
    assert await entries(erased) == [4]


async def test_who_has_not_looked_may_not_begin_it_again(erased: Units) -> None:
    unit = erased.new()
    ledger = Ledger("7")
    unit.repository(Ledger).add(ledger)
    ledger.enter(3)

    with pytest.raises(AggregateExistsError):
        await unit.commit()
