from collections.abc import AsyncIterator

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.units import Units
from tests.unit_of_work.counting import CountingStorage
from tests.unit_of_work.shop import Customer, Product


@pytest.fixture
async def storage() -> AsyncIterator[MemoryStorage]:
    storage = MemoryStorage()
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def units(storage: MemoryStorage) -> Units:
    units = Units(storage, codec=EventCodec(TypeRegistry()))
    await units.prepare(aggregates=[Customer], models=[Product])
    return units


@pytest.fixture
async def counting() -> CountingStorage:
    storage = CountingStorage()
    await storage.open()
    return storage
