"""What an SQLite file holds, found out without changing it."""

import sqlite3
from contextlib import closing

from headwater.adapters.storage.sqlite.connections import open_reader
from headwater.adapters.storage.sqlite.failures import translated
from headwater.adapters.storage.sqlite.schema import MIGRATIONS, start, stored_version
from headwater.adapters.storage.sqlite.settings import SqliteSettings

CODE_VERSION = len(MIGRATIONS)
"""The schema version that this code needs; opening a file brings it there."""


def schema_of(settings: SqliteSettings) -> tuple[int, tuple[str, ...]]:
    """Return the schema version of the file, 0 if it is missing or has no tables. It blocks.

    With it come the names of what that version has and the file has not, sorted.

    Raises:
        SchemaVersionError: its tables were made by newer code, or by somebody else.
        StorageError: it can't be read.
    """
    if not settings.path.exists():
        return 0, ()
    try:
        with closing(open_reader(settings)) as connection:
            version = stored_version(connection, settings)
            lost = _made_by(version) - _names(connection) if version else frozenset[str]()
            return version, tuple(sorted(lost))
    except Exception as error:
        raise translated(error, settings.path, busy_seconds=settings.busy_seconds) from error


def _made_by(version: int) -> frozenset[str]:
    """Return the names of all that migrations up to *version* leave in a file."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        start(connection)
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement)
        return _names(connection)


def _names(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE substr(name, 1, 10) = 'headwater_'"
        )
    )
