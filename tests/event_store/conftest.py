from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.event_store import EventStore
from headwater.ports.storage import Storage


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    storage: Storage = (
        MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "log.db")
    )
    async with EventStore(storage) as store:
        yield store
