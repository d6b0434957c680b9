"""The storage in a schema of a PostgreSQL database."""

from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.storage import PostgresStorage

__all__ = ["PostgresSettings", "PostgresStorage"]
