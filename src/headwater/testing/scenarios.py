"""Given, when, then: tests of aggregates and deciders that read as the business speaks::

    given(Order, order_id, placed, confirmed).when(lambda order: order.ship("X1")).then(
        OrderShipped(order_id=order_id, tracking_number="X1")
    )

A failed expectation is an `AssertionError` that names every field that differs.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeGuard, TypeVar, overload
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.serialization.sameness import fields_of

A = TypeVar("A", bound=Aggregate[Any])
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")
X = TypeVar("X", bound=Exception)


@overload
def given(subject: type[A], id: UUID | str | int, /, *events: object) -> "AggregateScenario[A]": ...
@overload
def given(subject: Decider[C, S, E], /, *events: E) -> "DeciderScenario[C, S, E]": ...
def given(subject: Any, /, *history: Any) -> Any:
    """Begin with what has happened: an aggregate class, its id and its events; or a decider
    and its events.

    Raises:
        UnknownEventError, ApplyError: the aggregate can't apply one of the events.
    """
    if _is_decider(subject):
        return DeciderScenario(subject, history)
    id, *events = history
    aggregate = subject(id)
    aggregate.replay(events)
    return AggregateScenario(aggregate)


def _is_decider(subject: object) -> TypeGuard[Decider[Any, Any, Any]]:
    return isinstance(subject, Decider)


def given_nothing(aggregate: type[A]) -> "NewAggregateScenario[A]":
    """Begin with nothing, for what creates an *aggregate*."""
    return NewAggregateScenario(aggregate)


class AggregateScenario(Generic[A]):
    """An aggregate to which its history has happened."""

    def __init__(self, aggregate: A) -> None:
        self._aggregate = aggregate

    def when(self, act: Callable[[A], object]) -> "AggregateOutcome[A]":
        """Do something to the aggregate: ``lambda order: order.ship("X1")``."""
        try:
            act(self._aggregate)
        except Exception as error:  # noqa: BLE001 - the outcome answers for it
            return AggregateOutcome(self._aggregate, error)
        return AggregateOutcome(self._aggregate, None)


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
            raise _failure(f"Expected a new {self._cls.__name__}, got {created!r}.")
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


class Outcome:
    """What came of the action: new events, or an error."""

    def __init__(self, label: str, events: tuple[Any, ...], error: Exception | None) -> None:
        self._label, self._events, self._error = label, events, error
        self._looked_at = False

    def then_raises(self, expected: type[X], *, match: str | None = None) -> X:
        """Expect an error of a class, whose text matches a regular expression; return it."""
        __tracebackhide__ = True
        self._looked_at = True
        if self._error is None:
            raise _failure(
                f"{self._label}: expected {expected.__name__}, but nothing was raised. "
                f"{_told(self._events)}"
            )
        if not isinstance(self._error, expected):
            raise _failure(
                f"{self._label}: expected {expected.__name__}, got {_described(self._error)}"
            ) from self._error
        if match is not None and re.search(match, str(self._error)) is None:
            raise _failure(
                f"{self._label}: expected {expected.__name__} with a text that matches "
                f"{match!r}, got {str(self._error)!r}."
            ) from self._error
        return self._error

    def _expect_events(self, expected: tuple[Any, ...]) -> None:
        __tracebackhide__ = True
        self._expect_no_error(f"{len(expected)} event(s)")
        problems = list(_event_problems(expected, self._events))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise _failure(f"{self._label}: other events than expected.\n{lines}")

    def _expect_no_error(self, instead: str) -> None:
        __tracebackhide__ = True
        self._looked_at = True
        if self._error is not None:
            raise _failure(
                f"{self._label}: expected {instead}, but it raised {_described(self._error)}"
            ) from self._error

    def __del__(self) -> None:
        if self._error is not None and not self._looked_at:
            warnings.warn(
                f"{self._label}: when() raised {_described(self._error)} and no then looked at it",
                stacklevel=2,
            )


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
            raise _failure(f"{self._label}: there is none.")
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
            problems += _differences(expected, getattr(self.aggregate, name), name)
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise _failure(f"{self._label}: another state than expected.\n{lines}")
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
        problems = list(_differences(expected, self._state(), ""))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise _failure(f"{self._label}: another state than expected.\n{lines}")
        return self


# ----------------------------------------------------------------------- how failures read


def _failure(text: str) -> AssertionError:
    return AssertionError(text)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _told(events: Sequence[Any]) -> str:
    return f"Events: {', '.join(map(repr, events)) or 'none'}."


def _event_problems(expected: Sequence[Any], actual: Sequence[Any]) -> Iterator[str]:
    """Every place where *actual* is not *expected*, one text each; none if all are equal."""
    for index in range(max(len(expected), len(actual))):
        place = f"event {index + 1}"
        if index >= len(actual):
            yield f"{place}: missing {expected[index]!r}"
        elif index >= len(expected):
            yield f"{place}: unexpected {actual[index]!r}"
        elif type(expected[index]) is not type(actual[index]):
            yield f"{place}: expected {expected[index]!r}, got {actual[index]!r}"
        else:
            path = f"{place}, {type(expected[index]).__name__}"
            yield from _differences(expected[index], actual[index], path)


def _differences(expected: Any, actual: Any, path: str) -> Iterator[str]:
    if type(expected) is type(actual) and expected == actual:
        return
    found = [
        difference
        for part, mine, other in _parts(expected, actual)
        for difference in _differences(mine, other, f"{path}{part}".lstrip("."))
    ]
    if found:
        yield from found
    elif expected != actual or type(expected) is not type(actual):
        yield f"{path or 'it'}: expected {expected!r}, got {actual!r}"


def _parts(expected: Any, actual: Any) -> list[tuple[str, Any, Any]]:
    kind = expected.__class__
    if kind is not actual.__class__:
        return []
    names = fields_of(kind)
    if names is None and hasattr(kind, "model_fields"):
        names = tuple(kind.model_fields)
    if names is not None:
        return [(f".{name}", getattr(expected, name), getattr(actual, name)) for name in names]
    if issubclass(kind, Mapping) and expected.keys() == actual.keys():
        return [(f"[{key!r}]", expected[key], actual[key]) for key in expected]
    if issubclass(kind, list | tuple) and len(expected) == len(actual):
        pairs = zip(expected, actual, strict=True)
        return [(f"[{index}]", mine, other) for index, (mine, other) in enumerate(pairs)]
    return []
