"""A partition that is behind and comes no further for its limit is reported, with a cause."""

from collections.abc import Iterable

import pytest

from headwater.clock import ManualClock
from headwater.monitoring.stalls import StallWatch, Watched
from headwater.subscriptions.fronts import Front
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus
from tests.monitoring.conftest import standing

LIMIT = 60.0
STALLED = SubscriptionState.STALLED
STUCK = Front(3, (17,), "the handler of order-placed is still running")
BUSY = Front(1, (20,), "busy")


class Seen:
    """A watch on one subscription, whose time, status and fronts the test sets."""

    def __init__(self) -> None:
        self.clock, self.status = ManualClock(), standing()
        self.fronts: list[Front] = [STUCK]
        self.watch = StallWatch(
            Watched(lambda: [self.status], self._fronts, self._nothing),
            limit_seconds=LIMIT,
            clock=self.clock,
        )

    def _fronts(self, name: str) -> Iterable[Front]:
        return self.fronts

    async def _nothing(self) -> None:
        """Nobody else is there."""

    def after(self, seconds: float, *fronts: Front) -> SubscriptionStatus:
        """Return what the watch says after so long, in which *fronts* came about."""
        self.clock.advance(seconds)
        self.fronts = list(fronts)
        (judged,) = self.watch.look()
        return judged


@pytest.fixture
def seen() -> Seen:
    seen = Seen()
    seen.after(0, STUCK)
    return seen


def test_it_is_stalled_from_its_limit_on_with_the_likely_cause(seen: Seen) -> None:
    assert seen.after(LIMIT - 1, STUCK).state is SubscriptionState.CATCHING_UP

    judged = seen.after(1, STUCK)

    assert judged.state is STALLED
    assert judged.error == "stands for 60 s: the handler of order-placed is still running"
    assert not judged.healthy


def test_one_partition_that_stands_is_not_hidden_by_others_that_move(seen: Seen) -> None:
    for n in range(60):
        seen.after(1, STUCK, Front(1, (n,), "busy"))

    assert "order-placed" in str(seen.after(0, STUCK, BUSY).error)


def test_a_partition_that_comes_further_begins_its_time_again(seen: Seen) -> None:
    seen.after(LIMIT - 1, STUCK)
    seen.after(0, Front(3, (18,), "the next one"))

    assert seen.after(LIMIT - 1, Front(3, (18,), "the next one")).state is not STALLED


def test_a_partition_that_had_nothing_to_do_meanwhile_begins_its_time_again(seen: Seen) -> None:
    seen.after(LIMIT - 1)
    seen.after(1, STUCK)

    assert seen.after(LIMIT - 1, STUCK).state is not STALLED


@pytest.mark.parametrize(
    "state",
    [
        SubscriptionState.PAUSED,
        SubscriptionState.RETIRED,
        SubscriptionState.SUSPENDED,
        SubscriptionState.WAITING,
        SubscriptionState.FAILED,
    ],
)
def test_what_stands_still_for_a_reason_says_that_reason(
    seen: Seen, state: SubscriptionState
) -> None:
    seen.status = standing(state=state, error="because")

    judged = seen.after(10 * LIMIT, STUCK)

    assert (judged.state, judged.error) == (state, "because")


def test_trouble_that_does_not_pass_is_a_stall_and_the_cause(seen: Seen) -> None:
    seen.status = standing(error="the server is away")
    seen.after(0)

    judged = seen.after(LIMIT)

    assert (judged.state, judged.error) == (STALLED, "stands for 60 s: the server is away")


def test_stalling_is_logged_once_and_so_is_its_end(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    seen.after(LIMIT, STUCK)
    seen.after(LIMIT, STUCK)
    seen.after(1)

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "is still running" in caplog.text
    assert "goes on" in caplog.text
