from tests.storage.conftest import postgres, postgres_run_folder, postgres_schema, postgres_url
from tests.subscriptions.conftest import OpenStorage, bench, opened, shared_url, storage

__all__ = [
    "OpenStorage",
    "bench",
    "opened",
    "postgres",
    "postgres_run_folder",
    "postgres_schema",
    "postgres_url",
    "shared_url",
    "storage",
]
