"""What the tests of personal data share."""

from pathlib import Path

import pytest

from tests.personal_data.people import Cellar
from tests.storage.conftest import (
    postgres,
    postgres_run_folder,
    postgres_schema,
    postgres_url,
)

__all__ = ["cellar", "postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]


@pytest.fixture
def cellar(tmp_path: Path) -> Cellar:
    """Files of a storage, of keys and of a ledger, all empty."""
    return Cellar(tmp_path)
