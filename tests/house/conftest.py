"""The servers that programs in documents work with."""

from tests.storage.conftest import postgres, postgres_database, postgres_run_folder

__all__ = ["postgres", "postgres_database", "postgres_run_folder"]
