"""The storage in one SQLite file."""

from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.storage import SqliteStorage

__all__ = ["SqliteSettings", "SqliteStorage"]
