"""What SQLite's errors mean for a caller."""

import re
import sqlite3
from pathlib import Path

from headwater.errors import (
    ConfigurationError,
    SchemaVersionError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)

_PRIMARY_CODE = 0xFF
_NO_COLLECTION = re.compile(r"no such table: (?:main\.)?headwater_rows_(\w+)")


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether somebody else holds a lock, so that it is worth trying again."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: Exception, path: Path, *, busy_seconds: float) -> Exception:
    """Return the library's error for what the driver raised; others come back as they are."""
    if isinstance(error, OverflowError):
        return ValueError(f"{path}: {error}; SQLite's integers have 64 bits")
    if not isinstance(error, sqlite3.Error):
        return error
    where, code = str(path), _code(error)
    if is_busy(error):
        return StorageBusyError(
            f"{path} was locked by somebody else for more than {busy_seconds} s. Look for a "
            f"transaction that is left open (a shell, a migration), or raise busy_seconds.",
            where=where,
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(
            f"{path}: the disk is full, or the file has reached file_bytes_max. The commit was "
            f"rolled back and nothing is lost; make room and send it again.",
            where=where,
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return StorageCorruptError(
            f"{path} is damaged ({error}). Restore a backup, or save what can be read with the "
            f"sqlite3 shell's .recover; PRAGMA integrity_check says more.",
            where=where,
        )
    if code == sqlite3.SQLITE_NOTADB:
        return StorageCorruptError(
            f"{path} is not an SQLite database (or is encrypted, or its first page is damaged). "
            f"Nothing was changed in it; name another file.",
            where=where,
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageReadOnlyError(
            f"{path} can't be written ({error}). This process needs the right to write the file "
            f"and its directory, where SQLite keeps -wal and -shm files.",
            where=where,
        )
    dropped = _NO_COLLECTION.search(str(error))
    if dropped is not None:
        return not_prepared(dropped[1])
    if "no such table: headwater_" in str(error) or "no such column" in str(error):
        return SchemaVersionError(
            f"{path} has no Headwater tables any more, or other ones ({error}).", where=where
        )
    return StorageError(f"{path}: {_name(error)}: {error}", where=where)


def not_prepared(collection: str) -> ConfigurationError:
    """Return the error for the use of a collection whose table is not there."""
    return ConfigurationError(
        f"The collection {collection!r} was not prepared, or was dropped meanwhile; call "
        f"prepare_collections first."
    )


def _code(error: sqlite3.Error) -> int:
    # Errors that the driver itself raises ("Cannot operate on a closed database") have none.
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
