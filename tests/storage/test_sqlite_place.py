"""A file or place that can't carry a storage is refused with the reason, and left alone."""

# ruff: noqa: ASYNC240 - a test may block, the library may not

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage, connections, filesystem
from headwater.errors import (
    ConfigurationError,
    SchemaVersionError,
    StorageCorruptError,
    StorageError,
    StorageReadOnlyError,
    UnsupportedFileSystemError,
)
from headwater.testing.conformance.builders import appending, new_event

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def made(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    await storage.commit(appending("order-1", new_event()))
    await storage.close()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no/where does not exist; make it first"):
        await SqliteStorage(tmp_path / "no" / "where" / "log.db").open()


async def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a directory"):
        await SqliteStorage(tmp_path).open()


async def test_a_storage_that_could_not_be_opened_can_be_opened_later(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "later" / "log.db")
    with pytest.raises(StorageError):
        await storage.open()
    (tmp_path / "later").mkdir()

    await storage.open()

    assert await storage.head() == 0
    await storage.close()


async def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("customer,total\n" * 1000, encoding="utf-8")

    with pytest.raises(StorageCorruptError, match="not an SQLite database") as refusal:
        await SqliteStorage(path).open()

    assert refusal.value.where == str(path)
    assert path.read_text(encoding="utf-8").startswith("customer,total")


async def test_a_damaged_file_is_called_damaged(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    for number in range(20):
        await storage.commit(appending(f"order-{number}", new_event(data=f'"{"x" * 3000}"')))
    await storage.close()
    content = path.read_bytes()
    path.write_bytes(content[: 4096 * 20] + b"\xff" * (len(content) - 4096 * 20))
    await storage.open()

    with pytest.raises(StorageCorruptError, match="Restore a backup"):
        await storage.read_log()

    await storage.close()


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await made(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE headwater_meta SET value = '99' WHERE name = 'schema_version'")

    with pytest.raises(SchemaVersionError, match="schema version 99; this code knows"):
        await SqliteStorage(path).open()


async def test_tables_of_our_name_that_are_not_ours_are_refused(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE headwater_events (mine)")

    with pytest.raises(SchemaVersionError, match="did not make"):
        await SqliteStorage(path).open()


async def test_a_users_own_database_gets_the_tables_beside_its_own(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("CREATE TABLE customers (name)")
        other.execute("INSERT INTO customers VALUES ('Ada')")

    await made(path)

    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM customers").fetchall() == [("Ada",)]
        assert other.execute("PRAGMA application_id").fetchone() == (7,)


async def test_many_processes_may_make_the_tables_at_once(path: Path) -> None:
    storages = [SqliteStorage(path) for _ in range(8)]

    await asyncio.gather(*(storage.open() for storage in storages))
    results = await asyncio.gather(
        *(one.commit(appending("order-1", new_event())) for one in storages)
    )

    assert sorted(result.position for result in results) == list(range(1, 9))
    await asyncio.gather(*(storage.close() for storage in storages))


async def test_an_old_sqlite_is_refused_with_the_version_that_is_needed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 1))

    with pytest.raises(ConfigurationError, match=r"3\.34\.0 or newer"):
        await SqliteStorage(path).open()

    assert not path.exists()


def test_a_file_that_may_not_be_written_is_read_only() -> None:
    with TemporaryDirectory() as directory:
        place = Path(directory) / "log.db"
        asyncio.run(made(place))
        place.chmod(0o444)
        place.parent.chmod(0o555)
        attempt = opened_by_nobody(place)
        place.parent.chmod(0o755)

    assert StorageReadOnlyError.__name__ in attempt.stderr


def opened_by_nobody(path: Path) -> subprocess.CompletedProcess[str]:
    # Root may write everything, so the attempt is made as somebody else.
    script = f"""
import asyncio, os, sys
from headwater.adapters.storage.sqlite import SqliteStorage
if os.getuid() == 0:
    os.setuid({NOBODY})
asyncio.run(SqliteStorage(sys.argv[1]).open())
"""

    return subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path}/shared {kind} rw 0 0\n", encoding="utf-8"
    )

    with pytest.raises(UnsupportedFileSystemError, match=f"type {kind}"):
        filesystem.check_file_system(tmp_path / "shared" / "log.db", mounts=mounts)

    filesystem.check_file_system(tmp_path / "log.db", mounts=mounts)


def test_the_mount_nearest_to_the_file_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"server:/ / nfs rw 0 0\n/dev/vdb {tmp_path}/with\\040space ext4 rw 0 0\n",
        encoding="utf-8",
    )

    filesystem.check_file_system(tmp_path / "with space" / "log.db", mounts=mounts)

    with pytest.raises(UnsupportedFileSystemError):
        filesystem.check_file_system(tmp_path / "log.db", mounts=mounts)


def test_a_system_that_does_not_list_its_mounts_is_trusted(tmp_path: Path) -> None:
    filesystem.check_file_system(tmp_path / "log.db", mounts=tmp_path / "missing")


async def test_opening_asks_for_the_file_system(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: Path) -> None:
        raise UnsupportedFileSystemError("network", where=str(place))

    monkeypatch.setattr(connections, "check_file_system", refuse)

    with pytest.raises(UnsupportedFileSystemError):
        await SqliteStorage(path).open()

    assert not path.exists()
