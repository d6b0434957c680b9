"""What an SQLite file holds, found out without changing it."""

from contextlib import closing

from headwater.adapters.storage.sqlite.connections import open_reader
from headwater.adapters.storage.sqlite.failures import translated
from headwater.adapters.storage.sqlite.schema import MIGRATIONS, stored_version
from headwater.adapters.storage.sqlite.settings import SqliteSettings

CODE_VERSION = len(MIGRATIONS)
"""The schema version that this code needs; opening a file brings it there."""


def schema_version_of(settings: SqliteSettings) -> int:
    """Return the schema version of the file, 0 if it is missing or has no tables. It blocks.

    Raises:
        SchemaVersionError: its tables were made by newer code, or by somebody else.
        StorageError: it can't be read.
    """
    if not settings.path.exists():
        return 0
    try:
        with closing(open_reader(settings)) as connection:
            return stored_version(connection, settings)
    except Exception as error:
        raise translated(error, settings.path, busy_seconds=settings.busy_seconds) from error
