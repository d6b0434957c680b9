"""Keys in an SQLite file of their own."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from headwater.errors import ConfigurationError, KeyStoreError, KeyStoreUnavailableError
from headwater.ports.key_store import Forgotten, WrappedKey

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
"""How long to wait for another process that is writing."""

SCHEMA_VERSION: Final = 1
_APPLICATION: Final = 0x48574B59  # "HWKY"
_SUBJECTS_ASKED_MAX: Final = 500

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS headwater_keys (
    subject TEXT PRIMARY KEY,
    master TEXT NOT NULL,
    wrapped BLOB,
    forgotten_at INTEGER,
    forgotten_by TEXT NOT NULL DEFAULT '',
    forgotten_why TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
_SELECT: Final = "SELECT subject, master, wrapped FROM headwater_keys"
_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


class SqliteKeyStore:
    """Keeps keys in the SQLite file *path*; several processes of one machine may share it.

    The file is no part of the storage: back it up apart from it, and keep its backups for a
    shorter time, because what was forgotten can be read again with an older one.
    """

    def __init__(self, path: Path | str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Name the file; it is made if it is missing, its directory is not.

        Raises:
            ConfigurationError: *path* names a database in memory.
        """
        if str(path) in ("", ":memory:") or str(path).startswith("file:"):
            raise ConfigurationError(f"{str(path)!r} is not a file that keys can be kept in.")
        self.path, self._busy_seconds = Path(path), busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._file: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"SqliteKeyStore({str(self.path)!r})"

    async def open(self) -> None:
        """Open the file, and make the table in it if it is new."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="headwater-keys")
            try:
                await self._call(self._connect)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown(wait=False)

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.get`."""
        return await self._on_connection(lambda connection: _get(connection, tuple(subjects)))

    async def add(self, keys: Sequence[WrappedKey]) -> Mapping[str, WrappedKey]:
        """As `KeyStore.add`."""
        return await self._on_connection(lambda connection: _add(connection, keys))

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        """As `KeyStore.destroy`. SQLite overwrites the bytes in the file (``secure_delete``)."""
        return await self._on_connection(lambda connection: _destroy(connection, forgotten))

    async def forgotten(self) -> Sequence[Forgotten]:
        """As `KeyStore.forgotten`."""
        return await self._on_connection(_forgotten)

    async def outdated(self, master: str, *, after: str, limit: int) -> Sequence[WrappedKey]:
        """As `Rewrapping.outdated`."""
        return await self._on_connection(
            lambda connection: _keys(
                connection.execute(
                    f"{_SELECT} WHERE wrapped IS NOT NULL AND master != ? AND subject > ?"
                    " ORDER BY subject LIMIT ?",
                    (master, after, limit),
                )
            )
        )

    async def rewrap(self, keys: Sequence[tuple[WrappedKey, WrappedKey]]) -> int:
        """As `Rewrapping.rewrap`."""
        return await self._on_connection(lambda connection: _rewrap(connection, keys))

    # ------------------------------------------------------------------------ the thread

    async def _on_connection(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def on_thread() -> T:
            if self._connection is None:
                raise KeyStoreError(f"The key store {self.path} is not open.")
            self._check_in_place()
            with self._connection:
                return work(self._connection)

        return await self._call(on_thread)

    async def _call(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise KeyStoreError(f"The key store {self.path} is not open.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> KeyStoreError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        kind = KeyStoreUnavailableError if code in _UNAVAILABLE else KeyStoreError
        return kind(f"The key store {self.path} can't be used: {error}. Nothing was written.")

    def _connect(self) -> None:
        # The file of now, wherever the process goes.
        self.path = self.path.absolute()
        if not self.path.parent.is_dir():
            raise KeyStoreError(f"The directory of {self.path} does not exist; make it first.")
        connection = sqlite3.connect(
            self.path, timeout=self._busy_seconds, check_same_thread=False, isolation_level=None
        )
        try:
            _set_up(connection, self.path)
        except BaseException:
            connection.close()
            raise
        connection.isolation_level = "IMMEDIATE"
        self._connection = connection
        self._file = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_in_place(self) -> None:
        # SQLite would go on with the file that is gone: what is destroyed in it stays where
        # everybody else looks.
        if self._identity() != self._file:
            raise KeyStoreError(
                f"The key store {self.path} was replaced or removed while it was open. Start this "
                f"process anew: then the ledger is applied to what is there now."
            )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    # No write-ahead log: it would keep the bytes of destroyed keys until it is overwritten.
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA secure_delete=ON")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > SCHEMA_VERSION or (application != _APPLICATION and tables):
        raise KeyStoreError(
            f"{path} is no key store of this version: it is another database, such as a storage, "
            f"or newer code wrote it. Nothing was changed in it. Keys stand in a file of their own."
        )
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id={_APPLICATION}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")


def _keys(rows: sqlite3.Cursor) -> list[WrappedKey]:
    return [WrappedKey(subject, master, wrapped) for subject, master, wrapped in rows]


def _get(connection: sqlite3.Connection, subjects: Sequence[str]) -> dict[str, WrappedKey]:
    found: dict[str, WrappedKey] = {}
    for start in range(0, len(subjects), _SUBJECTS_ASKED_MAX):
        asked = subjects[start : start + _SUBJECTS_ASKED_MAX]
        marks = ",".join("?" * len(asked))
        query = f"{_SELECT} WHERE subject IN ({marks})"
        found.update((key.subject, key) for key in _keys(connection.execute(query, asked)))
    return found


def _add(connection: sqlite3.Connection, keys: Sequence[WrappedKey]) -> dict[str, WrappedKey]:
    connection.executemany(
        "INSERT INTO headwater_keys (subject, master, wrapped) VALUES (?, ?, ?)"
        " ON CONFLICT (subject) DO NOTHING",
        [(key.subject, key.master, key.wrapped) for key in keys],
    )
    return _get(connection, [key.subject for key in keys])


def _destroy(connection: sqlite3.Connection, forgotten: Sequence[Forgotten]) -> int:
    destroyed = connection.executemany(
        "INSERT INTO headwater_keys"
        " (subject, master, wrapped, forgotten_at, forgotten_by, forgotten_why)"
        " VALUES (?, '', NULL, ?, ?, ?) ON CONFLICT (subject) DO UPDATE SET"
        " master = '', wrapped = NULL, forgotten_at = excluded.forgotten_at,"
        " forgotten_by = excluded.forgotten_by, forgotten_why = excluded.forgotten_why"
        " WHERE wrapped IS NOT NULL",
        [(entry.subject, entry.at, entry.by, entry.why) for entry in forgotten],
    )
    return destroyed.rowcount


def _forgotten(connection: sqlite3.Connection) -> list[Forgotten]:
    rows = connection.execute(
        "SELECT subject, forgotten_at, forgotten_by, forgotten_why FROM headwater_keys"
        " WHERE wrapped IS NULL ORDER BY forgotten_at, subject"
    )
    return [Forgotten(*row) for row in rows]


def _rewrap(connection: sqlite3.Connection, keys: Sequence[tuple[WrappedKey, WrappedKey]]) -> int:
    return connection.executemany(
        "UPDATE headwater_keys SET master = ?, wrapped = ?"
        " WHERE subject = ? AND master = ? AND wrapped = ?",
        [
            (current.master, current.wrapped, former.subject, former.master, former.wrapped)
            for former, current in keys
        ],
    ).rowcount
