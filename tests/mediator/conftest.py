from collections.abc import AsyncGenerator

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.unit_of_work.units import Units
from tests.mediator.bank import Balance


@pytest.fixture
async def storage() -> AsyncGenerator[MemoryStorage]:
    storage = MemoryStorage()
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def units(storage: MemoryStorage) -> Units:
    units = Units(storage, codec=EventCodec(TypeRegistry()), conflict_reruns_max=20)
    await units.prepare(models=[Balance])
    return units
