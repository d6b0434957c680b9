import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.ports.storage import Storage
from tests.storage.conftest import postgres, postgres_run_folder, postgres_schema, postgres_url
from tests.subscriptions.workbench import Workbench

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]

OpenStorage = Callable[[], Awaitable[Storage]]


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


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a storage that several processes can have open."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    # An app that opens it imports the driver, which reads files, within the event loop.
    importlib.import_module("headwater.adapters.storage.postgres")
    url, schema = (
        request.getfixturevalue("postgres_url"),
        request.getfixturevalue("postgres_schema"),
    )
    return f"{url}?schema={schema}&auto_migrate=true"


@pytest.fixture
async def opened(shared_url: str) -> AsyncIterator[OpenStorage]:
    """Opens `shared_url` once more, as another process would."""
    async with AsyncExitStack() as stack:

        async def open_again() -> Storage:
            storage = storage_of(shared_url, clock=SystemClock())
            await storage.open()
            stack.push_async_callback(storage.close)
            return storage

        yield open_again
