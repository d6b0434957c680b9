"""A scenario fails where an action changes state that no event will bring back."""

import pytest

from headwater import Aggregate, Event, applies
from headwater.testing import given, given_nothing


class Counted(Event):
    pass


class Opaque:
    pass


class Counter(Aggregate[str]):
    count: int = 0
    opaque: object = None

    def count_rightly(self) -> None:
        self.record(Counted())

    def count_beside(self) -> None:
        self.count += 10
        self.record(Counted())

    def set_aside(self) -> None:
        self.note = "gone tomorrow"

    @applies
    def _counted(self, event: Counted) -> None:
        self.count += 1
        self.opaque = Opaque()


def test_state_that_follows_from_the_events_passes() -> None:
    given(Counter, "a", Counted()).when(Counter.count_rightly).then(Counted())


def test_state_that_was_changed_beside_the_events_fails() -> None:
    with pytest.raises(AssertionError, match="count is 12, but replaying its events gives 2"):
        given(Counter, "a", Counted()).when(Counter.count_beside)


def test_an_attribute_that_only_an_action_sets_fails() -> None:
    with pytest.raises(AssertionError, match=r"note is 'gone tomorrow', but .* gives not set"):
        given(Counter, "a").when(Counter.set_aside)


def test_a_new_aggregate_is_checked_too() -> None:
    def create() -> Counter:
        counter = Counter("a")
        counter.count_beside()
        return counter

    with pytest.raises(AssertionError, match="count is 11"):
        given_nothing(Counter).when(create)
