"""A subscription that is behind and comes no further for its limit is reported, with a cause."""

import pytest

from headwater.clock import ManualClock
from headwater.monitoring.stalls import StallWatch
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus
from tests.monitoring.conftest import standing

LIMIT = 60.0
STALLED = SubscriptionState.STALLED


class Watched:
    """A watch on one subscription, whose time and status the test sets."""

    def __init__(self) -> None:
        self.clock, self.cause = ManualClock(), "handler mail runs for 61 s"
        self.status = standing()
        self.watch = StallWatch(
            lambda: [self.status],
            causes=lambda _: self.cause,
            limit_seconds=LIMIT,
            clock=self.clock,
        )

    def after(self, seconds: float, status: SubscriptionStatus | None = None) -> SubscriptionStatus:
        """Return what the watch says after so long, in which *status* came about."""
        self.clock.advance(seconds)
        self.status = status or self.status
        (judged,) = self.watch.look()
        return judged


@pytest.fixture
def watched() -> Watched:
    watched = Watched()
    watched.after(0)
    return watched


def test_it_is_stalled_from_its_limit_on_with_the_likely_cause(watched: Watched) -> None:
    assert watched.after(LIMIT - 1).state is SubscriptionState.CATCHING_UP

    judged = watched.after(1)

    assert judged.state is STALLED
    assert judged.error == "stands at position 5 for 60 s: handler mail runs for 61 s"
    assert not judged.healthy


@pytest.mark.parametrize(
    "further",
    [
        standing(position=6),
        standing(head=5),
        standing(events_done=1),
        standing(held=HeldCounts(delayed=1)),
    ],
    ids=["position", "caught up", "an event", "an event held"],
)
def test_whatever_moves_begins_its_time_again(
    watched: Watched, further: SubscriptionStatus
) -> None:
    watched.after(LIMIT - 1)
    watched.after(0, further)

    assert watched.after(LIMIT - 1).state is not STALLED


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
    watched: Watched, state: SubscriptionState
) -> None:
    watched.after(0, standing(state=state, error="because"))

    judged = watched.after(10 * LIMIT)

    assert (judged.state, judged.error) == (state, "because")


def test_an_event_that_comes_after_a_long_silence_is_not_late_yet(watched: Watched) -> None:
    watched.after(0, standing(position=9))
    watched.after(100 * LIMIT)

    assert watched.after(0, standing(position=9, head=10)).state is not STALLED


def test_stalling_is_logged_once_and_so_is_its_end(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.after(LIMIT)
    watched.after(LIMIT)
    watched.after(1, standing(position=6))

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "handler mail runs" in caplog.text
    assert "goes on" in caplog.text


def test_what_it_tries_again_is_the_cause_where_nothing_else_is_known(watched: Watched) -> None:
    watched.cause = ""

    judged = watched.after(LIMIT, standing(error="the server is away"))

    assert str(judged.error).endswith("the server is away")
