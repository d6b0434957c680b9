"""A storage that processes share."""

from pathlib import Path

import pytest

from tests.storage.conftest import (
    postgres,
    postgres_run_folder,
    postgres_schema,
    postgres_url,
)

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage that several processes can work on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/school.db"
    server: str = request.getfixturevalue("postgres_url")
    schema: str = request.getfixturevalue("postgres_schema")
    return f"{server}?schema={schema}&sslmode=disable&auto_migrate=true"
