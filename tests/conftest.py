"""What every test gets: a guarded event loop, a clock moved by hand, Hypothesis settings."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from headwater.clock import ManualClock
from tests.house.event_loop_guard import EventLoopGuard

# No deadline, because the machine is shared; the time limit per test holds. Not the profile
# that Hypothesis loads by itself where CI is set: that one always tries the same examples.
settings.register_profile("headwater", deadline=None, print_blob=True)
settings.load_profile("headwater")


@pytest.fixture(autouse=True)
def event_loop_guard() -> Generator[EventLoopGuard, None, None]:
    """Fail the test in which the library blocks the event loop, though the error be caught."""
    guard = EventLoopGuard()
    with guard.watch():
        yield guard
    if guard.blocked:
        pytest.fail(f"The library blocked the event loop: {'; '.join(guard.blocked)}")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test advances it."""
    return ManualClock()
