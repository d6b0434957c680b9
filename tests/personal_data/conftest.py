"""What the tests of personal data share."""

from pathlib import Path

import pytest

from tests.personal_data.people import Cellar


@pytest.fixture
def cellar(tmp_path: Path) -> Cellar:
    """Files of a storage, of keys and of a ledger, all empty."""
    return Cellar(tmp_path)
