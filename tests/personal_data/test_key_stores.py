"""The key stores of the house pass the suite; what is special about each of them."""

import asyncio
import os
import socket
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from headwater.adapters.key_store.ledger_file import LedgerFile
from headwater.adapters.key_store.memory import MemoryKeyStore
from headwater.adapters.key_store.postgres import PostgresKeyStore
from headwater.adapters.key_store.sqlite import SqliteKeyStore
from headwater.errors import (
    ConfigurationError,
    InvalidNameError,
    KeyStoreError,
    KeyStoreUnavailableError,
)
from headwater.ports.key_store import Forgotten, KeyStore
from headwater.testing.conformance.key_store import KeyStoreConformance, key


def bytes_in(place: Path) -> bytes:
    """Return what is in all files of *place*."""
    return b"".join(file.read_bytes() for file in place.iterdir())


class TestMemory(KeyStoreConformance):
    @pytest.fixture
    def new_store(self) -> KeyStore:
        return MemoryKeyStore()


class TestSqlite(KeyStoreConformance):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> KeyStore:
        return SqliteKeyStore(tmp_path / "keys.db")

    async def test_nothing_is_left_of_the_bytes_of_a_destroyed_key(self, tmp_path: Path) -> None:
        store = SqliteKeyStore(tmp_path / "keys.db")
        secret = bytes(range(100, 160))
        await store.open()
        await store.add([key("ada", secret), *(key(f"s{n}", b"x" * 60) for n in range(200))])
        assert secret in bytes_in(tmp_path)

        await store.destroy([Forgotten("ada", 1)])

        assert secret not in bytes_in(tmp_path)
        await store.close()

    async def test_two_stores_on_one_file_see_the_same_keys(self, tmp_path: Path) -> None:
        first, second = (SqliteKeyStore(tmp_path / "keys.db") for _ in range(2))
        await first.open()
        await second.open()

        await first.add([key("ada")])
        await second.destroy([Forgotten("ada", 1)])

        assert (await first.get(["ada"]))["ada"].wrapped is None
        await first.close()
        await second.close()

    async def test_a_file_that_is_locked_is_unavailable_and_not_empty(self, tmp_path: Path) -> None:
        store = SqliteKeyStore(tmp_path / "keys.db", busy_seconds=0.01)
        await store.open()
        with sqlite3.connect(tmp_path / "keys.db", isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")

            with pytest.raises(KeyStoreUnavailableError, match=r"keys\.db"):
                await store.get(["ada"])

            other.execute("ROLLBACK")
        other.close()
        assert await store.get(["ada"]) == {}
        await store.close()

    async def test_a_file_of_something_else_is_left_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "shop.db"
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE orders (id)")
        other.commit()
        other.close()
        before = file.read_bytes()

        with pytest.raises(KeyStoreError, match="no key store of this version"):
            await SqliteKeyStore(file).open()

        assert file.read_bytes() == before

    async def test_a_directory_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyStoreError, match="does not exist"):
            await SqliteKeyStore(tmp_path / "gone" / "keys.db").open()

    def test_keys_in_an_sqlite_database_in_memory_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="not a file"):
            SqliteKeyStore(":memory:")


class TestPostgres(KeyStoreConformance):
    @pytest.fixture
    def new_store(self, postgres_url: str, postgres_schema: str) -> KeyStore:
        return PostgresKeyStore(f"{postgres_url}?sslmode=disable", schema=postgres_schema)

    async def test_stores_of_several_processes_open_at_once_and_see_the_same_keys(
        self, postgres_url: str, postgres_schema: str
    ) -> None:
        stores = [
            PostgresKeyStore(f"{postgres_url}?sslmode=disable", schema=postgres_schema)
            for _ in range(4)
        ]
        await asyncio.gather(*(store.open() for store in stores))

        subjects = [f"s{n}" for n in range(200)]
        await asyncio.gather(
            *(
                store.add([key(s, b"%d" % n) for s in subjects[:: 1 if n % 2 else -1]])
                for n, store in enumerate(stores)
            )
        )
        await stores[0].destroy([Forgotten("s7", 1), Forgotten("s7", 2)])

        first, *others = [await store.get(subjects) for store in stores]
        assert all(other == first for other in others)
        assert first["s7"].wrapped is None
        for store in stores:
            await store.close()

    async def test_a_lost_connection_is_made_anew(
        self, postgres_url: str, postgres_schema: str
    ) -> None:
        store = PostgresKeyStore(
            f"{postgres_url}?sslmode=disable&application_name={postgres_schema}",
            schema=postgres_schema,
        )
        await store.open()
        await store.add([key("ada")])
        connection = await asyncpg.connect(f"{postgres_url}?sslmode=disable")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            postgres_schema,
        )

        assert await store.get(["ada"]) == {"ada": key("ada")}

        await connection.close()
        await store.close()

    async def test_a_server_that_cannot_be_reached_is_unavailable_and_no_secret_is_shown(
        self,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        url = f"postgresql://keys:secret@127.0.0.1:{port}/keys?sslmode=disable"

        with pytest.raises(KeyStoreUnavailableError) as refused:
            await PostgresKeyStore(url).open()

        assert "secret" not in str(refused.value) + repr(PostgresKeyStore(url))

    def test_wrong_settings_are_refused(self) -> None:
        with pytest.raises(ConfigurationError):
            PostgresKeyStore("mysql://x")
        for schema in ("Keys", "a b", "a" * 49, "", "x;drop"):
            with pytest.raises(InvalidNameError):
                PostgresKeyStore("postgresql://x@y/z", schema=schema)


class TestLedgerFile:
    async def test_a_ledger_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        assert list(await LedgerFile(tmp_path / "forgotten.jsonl").entries()) == []

    async def test_lines_are_kept_in_order(self, tmp_path: Path) -> None:
        ledger = LedgerFile(tmp_path / "forgotten.jsonl")
        ada, bob = Forgotten("ada", 1, "clerk", "line\nbreak"), Forgotten("bob", 2)

        await ledger.add([ada])
        await ledger.add([bob])

        assert list(await LedgerFile(ledger.path).entries()) == [ada, bob]

    async def test_a_line_that_a_crash_cut_off_spoils_no_other(self, tmp_path: Path) -> None:
        ledger = LedgerFile(tmp_path / "forgotten.jsonl")
        await ledger.add([Forgotten("ada", 1)])
        with ledger.path.open("ab") as file:
            file.write(b'{"subject":"bo')
        assert [entry.subject for entry in await ledger.entries()] == ["ada"]

        await ledger.add([Forgotten("eve", 2)])

        assert [entry.subject for entry in await ledger.entries()] == ["ada", "eve"]

    async def test_a_damaged_line_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        ledger = LedgerFile(tmp_path / "forgotten.jsonl")
        ledger.path.write_text('{"subject":"ada","at":1}\n{"sub\n{"subject":"bob","at":1}\n')

        with pytest.raises(KeyStoreError, match="damaged in line 2"):
            await ledger.entries()

    async def test_a_ledger_that_cannot_be_written_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(KeyStoreError, match="can't be written"):
            await LedgerFile(tmp_path / "gone" / "ledger").add([Forgotten("ada", 1)])

    async def test_a_line_that_was_written_in_part_only_is_an_error_and_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = LedgerFile(tmp_path / "forgotten.jsonl")
        await ledger.add([Forgotten("ada", 1)])
        write = os.write

        def on_a_disk_that_is_full(file: int, data: bytes) -> int:
            return write(file, data[:20])

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", on_a_disk_that_is_full)
            with pytest.raises(KeyStoreError, match="can't be written"):
                await ledger.add([Forgotten("bob", 2)])
        assert [entry.subject for entry in await ledger.entries()] == ["ada"]

        await ledger.add([Forgotten("bob", 2)])

        assert [entry.subject for entry in await ledger.entries()] == ["ada", "bob"]


async def test_relative_paths_name_the_files_of_where_the_process_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    store, ledger = SqliteKeyStore("keys.db"), LedgerFile("ledger.jsonl")
    await store.open()
    assert await ledger.entries() == ()

    monkeypatch.chdir(elsewhere)
    await store.add([key("ada")])
    await ledger.add([Forgotten("eve", 1)])
    await store.close()

    assert {"keys.db", "ledger.jsonl"} <= set(os.listdir(tmp_path))  # noqa: PTH208 - a test may block
    assert os.listdir(elsewhere) == []  # noqa: PTH208 - a test may block
