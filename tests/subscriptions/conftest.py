from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.storage import Storage
from tests.subscriptions.workbench import Workbench


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    storage: Storage = (
        MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "log.db")
    )
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def bench(storage: Storage) -> AsyncIterator[Workbench]:
    bench = Workbench(storage)
    yield bench
    await bench.stop()
