"""Commits inside a transaction that somebody else has opened."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from headwater.adapters.storage.sqlite.batch import Batch
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.failures import is_busy, translated
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.errors import ConfigurationError, HeadwaterError, StorageBusyError
from headwater.ports.changes import Changes, Committed

_SAVEPOINT = "headwater_commit"


def commit_within(
    connection: sqlite3.Connection,
    changes: Changes,
    *,
    settings: SqliteSettings,
    now: int,
    collections: Mapping[str, Collection],
) -> Committed:
    """Write *changes* into the open transaction of *connection*; a refused one leaves no trace.

    Raises:
        ConfigurationError: no transaction is open, or it is one on another file.
        StorageBusyError: another connection is writing, or has written since this transaction
            read.
        HeadwaterError: the refusal.
    """
    path = settings.path
    _check(connection, path)
    text_factory, connection.text_factory = connection.text_factory, str
    try:
        connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            # Takes the lock for writing before anything is looked at.
            connection.execute("UPDATE headwater_latest SET position = position")
            (outcome,) = Batch(connection, [changes], now=now, collections=collections).apply()
        except BaseException:
            connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
            raise
        finally:
            if connection.in_transaction:
                connection.execute(f"RELEASE {_SAVEPOINT}")
    except (sqlite3.Error, OverflowError) as error:
        if not (isinstance(error, sqlite3.Error) and is_busy(error)):
            raise translated(error, path, busy_seconds=settings.busy_seconds) from error
        raise StorageBusyError(
            f"{path}: another connection is writing, or has written since this transaction "
            f"began to read. Roll back and begin it with BEGIN IMMEDIATE.",
            where=str(path),
        ) from error
    finally:
        connection.text_factory = text_factory
    if isinstance(outcome, HeadwaterError):
        raise outcome
    return outcome


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if not connection.in_transaction:
        raise ConfigurationError(
            "commit_within needs an open transaction, or there would be nothing that commits "
            "what it writes. Begin one with connection.execute('BEGIN IMMEDIATE')."
        )
    cursor = connection.cursor()
    cursor.row_factory = None
    for _, name, file in cursor.execute("PRAGMA database_list"):
        other = file.decode() if isinstance(file, bytes) else file
        if name in ("main", b"main") and not (other and path.samefile(other)):
            raise ConfigurationError(
                f"commit_within: the connection is to {other or 'a database in memory'}, the "
                f"storage is in {path}."
            )
