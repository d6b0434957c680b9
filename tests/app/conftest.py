from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.storage import Storage


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A storage that holds nothing; apps open and close it, one after another too."""
    return MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "log.db")
