"""What an SQLite storage can be told, from code and from a URL."""

from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:///data/shop.db", "data/shop.db"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("sqlite:///my%20shop%3F%23.db", "my shop?#.db"),
        ("sqlite:///caf%C3%A9.db", "café.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert SqliteSettings.from_url(url) == SqliteSettings(Path(path))


def test_settings_follow_the_path_as_a_query() -> None:
    url = "sqlite:///shop.db?durability=normal&readers=4&busy_seconds=2.5&file_bytes_max=2000000"

    settings = SqliteSettings.from_url(url)

    assert settings == SqliteSettings(
        Path("shop.db"), durability="normal", readers=4, busy_seconds=2.5, file_bytes_max=2_000_000
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("shop.db", "not an SQLite URL"),
        ("postgresql:///shop", "not an SQLite URL"),
        ("sqlite://shop.db", "not an SQLite URL"),
        ("sqlite://host/shop.db", "not an SQLite URL"),
        ("sqlite:///shop.db#part", "not an SQLite URL"),
        ("sqlite://", "MemoryStorage"),
        ("sqlite:///", "MemoryStorage"),
        ("sqlite:///:memory:", "MemoryStorage"),
        ("sqlite:///shop.db?durable=full", "'durable' is not a setting"),
        ("sqlite:///shop.db?path=other.db", "'path' is not a setting"),
        ("sqlite:///shop.db?readers=1&readers=2", "'readers' stands there twice"),
        ("sqlite:///shop.db?readers=many", "readers"),
        ("sqlite:///shop.db?readers=0", "readers must be 1 … 64"),
        ("sqlite:///shop.db?durability=none", "durability"),
        ("sqlite:///shop.db?busy_seconds=-1", "busy_seconds"),
        ("sqlite:///shop.db?wal_bytes_max=1", "wal_bytes_max"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_with_the_reason(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SqliteSettings.from_url(url)

    assert problem in str(refusal.value)


@pytest.mark.parametrize("path", [":memory:", "file:shop?mode=memory"])
def test_a_database_in_memory_is_refused_with_advice(path: str) -> None:
    with pytest.raises(ConfigurationError, match="MemoryStorage"):
        SqliteStorage(path)


def test_making_a_storage_touches_no_file(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "log.db")

    assert storage.capabilities.durable
    assert storage.capabilities.shared
    assert list(tmp_path.iterdir()) == []
