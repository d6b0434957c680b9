"""What tests of policies share."""

import pytest

from tests.resilience.driving import LeapingClock


@pytest.fixture
def leaping() -> LeapingClock:
    """A clock on which every sleep is over at once."""
    return LeapingClock()
