"""Aggregates change by the events they record, wholly or not at all."""

import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

from headwater.domain import Aggregate, Pending, applies
from headwater.errors import AggregateError, ApplyError, UnknownEventError
from headwater.messages import RawEvent
from tests.domain.orders import CD, ID, Happened, HappenedAgain
from tests.domain.shop import (
    Line,
    LineAdded,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderStatus,
)

BAD = Line("bad", -1)


# ------------------------------------------------------------------------------- recording


def test_recording_applies_an_event_and_keeps_it_for_the_commit(order: Order) -> None:
    order.ship("X1")

    assert order.status is OrderStatus.SHIPPED
    assert order.uncommitted_events == (OrderPlaced(ID, (CD,)), OrderShipped(ID, "X1"))
    assert (order.version, order.committed_version) == (2, 0)


def test_uncommitted_events_and_version_are_snapshots(order: Order) -> None:
    events, pending, version = order.uncommitted_events, order.pending, order.version

    order.ship("X1")

    assert (len(events), len(pending), version) == (1, 1, 1)


def test_an_event_can_be_given_its_time_and_tags() -> None:
    order, noon = Order(ID), datetime(2024, 1, 1, 12, tzinfo=UTC)

    order.record(OrderPlaced(ID, ()), occurred_at=noon, tags=["customer-7"])

    assert order.pending == (Pending(OrderPlaced(ID, ()), noon, ("customer-7",)),)
    with pytest.raises(ValueError, match="has no time zone"):
        order.record(OrderPlaced(ID, ()), occurred_at=datetime(2024, 1, 1))  # noqa: DTZ001
    assert order.version == 1


def test_an_instance_goes_on_after_a_commit(order: Order) -> None:
    order.changes_committed()

    order.ship("X1")

    assert order.uncommitted_events == (OrderShipped(ID, "X1"),)
    assert (order.version, order.committed_version) == (2, 1)


def test_a_commit_of_some_events_leaves_the_later_ones(order: Order) -> None:
    order.ship("X1")

    order.changes_committed(1)

    assert order.uncommitted_events == (OrderShipped(ID, "X1"),)
    assert (order.version, order.committed_version) == (2, 1)
    with pytest.raises(ValueError, match="2 of 1 events"):
        order.changes_committed(2)


def test_an_unknown_event_changes_nothing_and_is_named(order: Order) -> None:
    with pytest.raises(UnknownEventError, match=f"Order {ID}, version 2, .* for Happened") as error:
        order.record(Happened())

    assert error.value.event_type == "Happened"
    assert order.uncommitted_events == (OrderPlaced(ID, (CD,)),)


def test_a_failing_applies_leaves_the_aggregate_as_it_was(order: Order) -> None:
    with pytest.raises(
        ApplyError, match=f"Order {ID} .* LineAdded as version 2: ValueError: a neg"
    ):
        order.add(BAD)

    assert order.lines == [CD]
    assert order.version == 1
    order.add(Line("dvd", 2))
    assert order.lines == [CD, Line("dvd", 2)]


def test_the_failure_of_an_applies_is_the_cause(order: Order) -> None:
    with pytest.raises(ApplyError) as caught:
        order.add(BAD)

    assert isinstance(caught.value.__cause__, ValueError)
    assert (caught.value.id, caught.value.version) == (ID, 2)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@dataclasses.dataclass
class Counter:
    count: int = 0
    seen: list[str] = dataclasses.field(default_factory=list[str])


class Holder(Aggregate[str]):
    """Changes all it has in place, then fails."""

    nested: dict[str, list[set[int]]] = {"a": [{1}]}  # noqa: RUF012 - each instance gets a copy
    counter: Counter = dataclasses.field(default_factory=Counter)
    first: list[int] = [1]  # noqa: RUF012 - each instance gets a copy
    fixed: tuple[list[int], str] = ([1], "x")
    plain: int = 1
    gone: int = 1
    alias: list[int]
    made: int
    opaque: object = None

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.alias = self.first
        self.opaque = (n for n in (1, 2))  # can't be copied

    @applies
    def _happened(self, event: Happened) -> None:
        self.nested["a"][0].add(2)
        self.nested["b"] = []
        self.counter.count += 1
        self.counter.seen.append(event.text)
        self.first.append(2)
        self.fixed[0].append(2)
        self.plain = 2
        self.made = 1
        self.__dict__.pop("gone", None)
        if event.text == "bad":
            raise ValueError("bad")


def test_containers_that_were_changed_in_place_are_restored() -> None:
    holder = Holder("h")
    opaque = holder.opaque

    with pytest.raises(ApplyError, match="ValueError: bad"):
        holder.record(Happened("bad"))

    assert holder.nested == {"a": [{1}]}
    assert holder.counter == Counter()
    assert (holder.first, holder.fixed, holder.plain, holder.gone) == ([1], ([1], "x"), 1, 1)
    assert not hasattr(holder, "made")
    assert holder.alias is holder.first
    assert holder.opaque is opaque


def test_a_success_keeps_the_containers_themselves() -> None:
    holder = Holder("h")
    first = holder.first

    holder.record(Happened("fine"))

    assert holder.first is first
    assert holder.first == [1, 2]


def test_an_interrupted_applies_leaves_the_aggregate_as_it_was() -> None:
    class Interrupted(Aggregate[str]):
        seen: list[int] = []  # noqa: RUF012 - each instance gets a copy

        @applies
        def _happened(self, event: Happened) -> None:
            self.seen.append(1)
            raise KeyboardInterrupt

    aggregate = Interrupted("i")

    with pytest.raises(KeyboardInterrupt):
        aggregate.record(Happened())

    assert (aggregate.seen, aggregate.version) == ([], 0)


def test_recording_while_applying_is_an_error_that_says_so() -> None:
    class Recursive(Aggregate[str]):
        @applies
        def _happened(self, event: Happened) -> None:
            self.record(HappenedAgain())

    aggregate = Recursive("r")

    with pytest.raises(ApplyError, match=r"record\(HappenedAgain\) inside an @applies method"):
        aggregate.record(Happened())
    with pytest.raises(ApplyError, match=r"record\(HappenedAgain\) inside an @applies method"):
        aggregate.replay([Happened()])

    assert (aggregate.version, aggregate.uncommitted_events) == (0, ())


# --------------------------------------------------------------------------------- loading


def test_replay_applies_stored_events_without_keeping_them() -> None:
    order = Order(ID)

    order.replay([OrderPlaced(ID, (CD,)), OrderShipped(ID, "X1")])

    assert order.status is OrderStatus.SHIPPED
    assert (order.version, order.committed_version, order.pending) == (2, 2, ())


def test_replay_can_go_on_and_takes_any_iterable() -> None:
    order = Order(ID)

    order.replay(iter([OrderPlaced(ID, (CD,))]))
    order.replay(event for event in [LineAdded(CD)])

    assert (order.lines, order.version) == ([CD, CD], 2)


def test_replay_names_the_event_that_can_not_be_applied() -> None:
    with pytest.raises(ApplyError, match=f"Order {ID} can't apply LineAdded as version 2"):
        Order(ID).replay([OrderPlaced(ID, ()), LineAdded(BAD), LineAdded(CD)])
    with pytest.raises(UnknownEventError, match=f"Order {ID}, version 2, .* Happened"):
        Order(ID).replay([OrderPlaced(ID, ()), Happened()])
    with pytest.raises(UnknownEventError, match=r"for legacy\.x"):
        Order(ID).replay([RawEvent("legacy.x", b"{}")])


def test_stored_events_can_not_follow_uncommitted_ones(order: Order) -> None:
    with pytest.raises(AggregateError, match="has uncommitted events"):
        order.replay([OrderShipped(ID, "X1")])
