"""Places for workers to work in: an SQLite file and a schema of PostgreSQL."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.ports.storage import Storage
from tests.storage.conftest import (
    postgres,
    postgres_run_folder,
    postgres_schema,
    postgres_url,
)
from tests.survival.load import Load
from tests.survival.workers import WorkerPool, workers

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]

ACCOUNTS = 12


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage; whole transactions survive a killed process in both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db?durability=normal"
    server, schema = (request.getfixturevalue(f"postgres_{part}") for part in ("url", "schema"))
    return f"{server}?sslmode=disable&auto_migrate=true&schema={schema}"


@pytest.fixture
def pool(url: str, tmp_path: Path) -> Generator[WorkerPool, None, None]:
    """Workers to start."""
    with workers(url, tmp_path) as pool:
        yield pool


@pytest_asyncio.fixture
async def load(url: str, pool: WorkerPool) -> AsyncGenerator[Load]:
    """What is appended to the storage of the workers."""
    storage: Storage
    if url.startswith("sqlite"):
        storage = SqliteStorage(SqliteSettings.from_url(url))
    else:
        storage = PostgresStorage(PostgresSettings.from_url(url))
    await storage.open()
    yield Load(storage, pool.outside, accounts=ACCOUNTS, seed=ACCOUNTS)
    await storage.close()
