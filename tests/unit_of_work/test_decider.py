"""Deciders in a unit of work."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ConcurrencyError, RefusedError
from headwater.unit_of_work.units import Units
from tests.unit_of_work.shop import STOCK, Received, Taken


async def test_a_decision_is_folded_from_the_stream_and_appended_to_it(
    units: Units, storage: MemoryStorage
) -> None:
    async with units.unit_of_work() as unit:
        assert await unit.decide(STOCK, "cd-1", 10) == (Received(10),)
        assert await unit.decide(STOCK, "cd-1", -4) == (Taken(4),)
    async with units.unit_of_work() as unit:
        await unit.decide(STOCK, "cd-1", -6)

    events = await storage.read_stream("app.stock-cd-1")

    assert [event.type for event in events] == ["app.received", "app.taken", "app.taken"]


async def test_a_refusal_writes_nothing(units: Units, storage: MemoryStorage) -> None:
    with pytest.raises(RefusedError, match="0 pieces are left"):
        async with units.unit_of_work() as unit:
            await unit.decide(STOCK, "cd-1", -1)

    assert await storage.head() == 0


async def test_a_stale_decision_conflicts(units: Units) -> None:
    stale = units.new()
    await stale.decide(STOCK, "cd-1", 10)
    async with units.unit_of_work() as unit:
        await unit.decide(STOCK, "cd-1", 10)

    with pytest.raises(ConcurrencyError):
        await stale.commit()
