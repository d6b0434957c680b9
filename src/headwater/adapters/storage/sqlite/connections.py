"""Opens connections to the file, each told once how to behave."""

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from headwater.adapters.storage.sqlite.failures import is_busy
from headwater.adapters.storage.sqlite.filesystem import check_file_system
from headwater.adapters.storage.sqlite.identity import FileIdentity
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.errors import ConfigurationError, StorageError, UnsupportedFileSystemError

SQLITE_VERSION_MIN: Final = (3, 34, 0)
"""What RHEL 9 has beside its Python 3.11. Before 3.38 the JSON functions may be left out."""

CHECKPOINT_PAGES: Final = 1000
"""After so many pages in the write-ahead log a commit moves them into the file."""

CACHE_KIBIBYTES: Final = 16 * 1024
STATEMENTS_CACHED: Final = 256
RETRY_SECONDS_MAX: Final = 0.002
"""A lock is asked for again after a random time below this."""

_HAS_JSON: Final = "SELECT count(*) FROM pragma_function_list WHERE name = 'json_group_array'"
_Result = TypeVar("_Result")
_log = logging.getLogger("headwater.storage.sqlite")


def check_place(settings: SqliteSettings) -> None:
    """Pass if a database can be kept where *settings* say.

    Raises:
        ConfigurationError: the SQLite library is too old.
        StorageError: the directory is missing, or the path is one.
        UnsupportedFileSystemError: the file would lie on a network file system.
    """
    if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
        least = ".".join(map(str, SQLITE_VERSION_MIN))
        raise ConfigurationError(
            f"Python's sqlite3 is linked with SQLite {sqlite3.sqlite_version}; {least} or newer "
            f"is needed. Install a newer SQLite, or a Python that brings one."
        )
    path = settings.path
    if path.is_dir():
        raise StorageError(f"{path} is a directory; name a file in it.", where=str(path))
    if not path.absolute().parent.is_dir():
        raise StorageError(
            f"The directory {path.absolute().parent} does not exist; make it first.",
            where=str(path),
        )
    check_file_system(path)


def open_writer(settings: SqliteSettings) -> sqlite3.Connection:
    """Return a connection that writes; a lock held by others makes it fail at once."""
    # Each attempt has a connection of its own: one that could not change the journal's mode
    # keeps a lock, and of several that do so at once none would ever get on.
    return until_free(lambda: _writer(settings), settings.busy_seconds)


def _writer(settings: SqliteSettings) -> sqlite3.Connection:
    connection = _connect(settings.path)
    try:
        _set_up(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, settings: SqliteSettings) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise UnsupportedFileSystemError(
            f"{settings.path} can't have a write-ahead log here (journal_mode is {mode}); use a "
            f"local disk.",
            where=str(settings.path),
        )
    if connection.execute(_HAS_JSON).fetchone() == (0,):
        raise ConfigurationError(
            f"Python's sqlite3 is linked with an SQLite {sqlite3.sqlite_version} that was built "
            f"without its JSON functions. Install another SQLite, or a Python that brings one."
        )
    connection.execute(f"PRAGMA synchronous={settings.durability.upper()}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={settings.wal_bytes_max}")
    if settings.file_bytes_max is not None:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count={settings.file_bytes_max // page_bytes}")


def open_reader(settings: SqliteSettings) -> sqlite3.Connection:
    """Return a connection that can't write."""
    connection = _connect(settings.path, seconds=settings.busy_seconds)
    connection.execute("PRAGMA query_only=ON")
    return connection


class WritingConnection:
    """The connection that the writer's thread holds; one that can't roll back is replaced."""

    def __init__(self, settings: SqliteSettings, identity: FileIdentity) -> None:
        self._settings, self._identity = settings, identity
        self._connection: sqlite3.Connection | None = None

    def get(self) -> sqlite3.Connection:
        """Return the connection, opened if there is none.

        Raises:
            sqlite3.Error: the file can't be opened.
            StorageError: it can't have a write-ahead log here, or is not the one that was opened.
        """
        self._identity.check()
        if self._connection is None:
            self._connection = open_writer(self._settings)
        return self._connection

    def roll_back(self) -> None:
        """End the transaction that is open, if any; nothing of it is kept, whatever happens."""
        connection = self._connection
        if connection is None:
            return
        try:
            # SQLite has done it already after some errors, a full disk among them.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.warning("%s: %s; the connection is replaced", self._settings.path, error)
            self.close()

    def close(self) -> None:
        """Let go of the connection, which rolls back what is open on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _connect(path: Path, *, seconds: float = 0.0) -> sqlite3.Connection:
    # Each connection is used by one thread, but closed by whichever ends the storage.
    return sqlite3.connect(
        path,
        timeout=seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_CACHED,
    )


def until_free(step: Callable[[], _Result], seconds: float) -> _Result:
    """Return what *step* returns, trying again for *seconds* while the file is locked.

    SQLite's own busy handler sleeps ever longer, up to 100 ms, so whoever waits already loses
    against whoever comes anew. A short random pause gives both the same chance.
    """
    give_up = time.monotonic() + seconds
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= give_up:
                raise
        time.sleep(random.uniform(0, RETRY_SECONDS_MAX))  # noqa: S311 - a pause is no secret


@contextmanager
def writing(connection: sqlite3.Connection, *, busy_seconds: float) -> Generator[None]:
    """Hold the file for writing; commit at the end, or roll back if something is raised."""
    until_free(lambda: connection.execute("BEGIN IMMEDIATE"), busy_seconds)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
