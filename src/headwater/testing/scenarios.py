"""Given, when, then: tests of aggregates, deciders and projections, as the business speaks::

    given(Order, order_id, placed, confirmed).when(lambda order: order.ship("X1")).then(
        OrderShipped(order_id=order_id, tracking_number="X1")
    )

A failed expectation is an `AssertionError` that names every field that differs.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeGuard, TypeVar, overload
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.domain.read_model import ReadModel
from headwater.projections.projection import Projection
from headwater.testing.outcome import Outcome, differences, failure
from headwater.testing.projections import ProjectionScenario
from headwater.testing.replay import check_replay

A = TypeVar("A", bound=Aggregate[Any])
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")
M = TypeVar("M", bound=ReadModel)


@overload
def given(subject: type[A], id: UUID | str | int, /, *events: object) -> "AggregateScenario[A]": ...
@overload
def given(subject: Decider[C, S, E], /, *events: E) -> "DeciderScenario[C, S, E]": ...
@overload
def given(subject: type[Projection[M]], /, *rows: M) -> ProjectionScenario[M]: ...
def given(subject: Any, /, *history: Any) -> Any:
    """Begin with what has happened: an aggregate class, its id and its events; a decider and
    its events; or a projection and the rows that are there.

    Raises:
        UnknownEventError, ApplyError: the aggregate can't apply one of the events.
        WiringError: something is wrong with the projection.
        ValueError: two rows have one key, or a row can't be stored.
    """
    if _is_decider(subject):
        return DeciderScenario(subject, history)
    if _is_projection(subject):
        return ProjectionScenario(subject, history)
    id, *events = history
    aggregate = subject(id)
    aggregate.replay(events)
    return AggregateScenario(aggregate, events)


def _is_decider(subject: object) -> TypeGuard[Decider[Any, Any, Any]]:
    return isinstance(subject, Decider)


def _is_projection(subject: type[Any]) -> TypeGuard[type[Projection[Any]]]:
    return issubclass(subject, Projection)


def given_nothing(aggregate: type[A]) -> "NewAggregateScenario[A]":
    """Begin with nothing, for what creates an *aggregate*."""
    return NewAggregateScenario(aggregate)


class AggregateScenario(Generic[A]):
    """An aggregate to which its history has happened."""

    def __init__(self, aggregate: A, history: Sequence[object]) -> None:
        self._aggregate, self._history = aggregate, history

    def when(self, act: Callable[[A], object]) -> "AggregateOutcome[A]":
        """Do something to the aggregate: ``lambda order: order.ship("X1")``.

        Raises:
            AssertionError: it changed state outside of an @applies method.
        """
        failed: Exception | None = None
        try:
            act(self._aggregate)
        except Exception as error:  # noqa: BLE001 - the outcome answers for it
            failed = error
        check_replay(self._aggregate, self._history)
        return AggregateOutcome(self._aggregate, failed)


class NewAggregateScenario(Generic[A]):
    """An aggregate that does not exist yet."""

    def __init__(self, cls: type[A]) -> None:
        self._cls = cls

    def when(self, create: Callable[[], A]) -> "AggregateOutcome[A]":
        """Create the aggregate: ``lambda: Order.place(order_id, lines)``."""
        try:
            created = create()
        except Exception as error:  # noqa: BLE001 - the outcome answers for it
            return AggregateOutcome(None, error)
        if not isinstance(created, self._cls):
            raise failure(f"Expected a new {self._cls.__name__}, got {created!r}.")
        check_replay(created, ())
        return AggregateOutcome(created, None)


class DeciderScenario(Generic[C, S, E]):
    """A decider and the events so far."""

    def __init__(self, decider: Decider[C, S, E], events: Sequence[E]) -> None:
        self._decider, self._events = decider, tuple(events)

    def when(self, command: C) -> "DeciderOutcome[S, E]":
        """Decide on *command*."""
        state = self._decider.fold(self._events)
        label = f"Decider {self._decider.name!r}"
        try:
            new = tuple(self._decider.decide(command, state))
        except Exception as error:  # noqa: BLE001 - the outcome answers for it
            return DeciderOutcome(label, (), error, lambda: state)
        return DeciderOutcome(label, new, None, lambda: self._decider.fold((*self._events, *new)))


class AggregateOutcome(Outcome, Generic[A]):
    """What came of an action on an aggregate."""

    def __init__(self, aggregate: A | None, error: Exception | None) -> None:
        name = f"{type(aggregate).__name__} {aggregate.id}" if aggregate else "New aggregate"
        super().__init__(name, aggregate.uncommitted_events if aggregate else (), error)
        self._aggregate = aggregate

    @property
    def aggregate(self) -> A:
        """The aggregate after the action.

        Raises:
            AssertionError: there is none, because creating it failed.
        """
        if self._aggregate is None:
            self._expect_no_error("an aggregate")
            raise failure(f"{self._label}: there is none.")
        return self._aggregate

    def then(self, *expected: object) -> "AggregateOutcome[A]":
        """Expect that the action recorded these events, in this order, and no others."""
        __tracebackhide__ = True
        self._expect_events(expected)
        return self

    def then_nothing(self) -> "AggregateOutcome[A]":
        """Expect that the action recorded no event and raised nothing."""
        __tracebackhide__ = True
        return self.then()

    def then_state(self, **attributes: object) -> "AggregateOutcome[A]":
        """Expect values of attributes after the action: ``then_state(status=SHIPPED)``."""
        __tracebackhide__ = True
        self._expect_no_error("a state")
        problems: list[str] = []
        for name, expected in attributes.items():
            if not hasattr(self.aggregate, name):
                problems.append(f"{name}: expected {expected!r}, but there is no such attribute")
                continue
            problems += differences(expected, getattr(self.aggregate, name), name)
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise failure(f"{self._label}: another state than expected.\n{lines}")
        return self


class DeciderOutcome(Outcome, Generic[S, E]):
    """What came of a decision."""

    def __init__(
        self,
        label: str,
        events: tuple[E, ...],
        error: Exception | None,
        state: Callable[[], S],
    ) -> None:
        super().__init__(label, events, error)
        self._state = state

    def then(self, *expected: E) -> "DeciderOutcome[S, E]":
        """Expect these events as the decision, in this order, and no others."""
        __tracebackhide__ = True
        self._expect_events(expected)
        return self

    def then_nothing(self) -> "DeciderOutcome[S, E]":
        """Expect a decision without events and without an error."""
        __tracebackhide__ = True
        return self.then()

    def then_state(self, expected: S) -> "DeciderOutcome[S, E]":
        """Expect a state after the new events."""
        __tracebackhide__ = True
        self._expect_no_error("a state")
        problems = list(differences(expected, self._state(), ""))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise failure(f"{self._label}: another state than expected.\n{lines}")
        return self
