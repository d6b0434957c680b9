"""Deciders: an aggregate as two pure functions and a first state."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from headwater.domain.appliers import event_name
from headwater.domain.applies import annotated_classes, where_is
from headwater.domain.header import check_owner_name
from headwater.errors import ApplyError, WiringError, WiringFault
from headwater.streams import check_context_name

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, kw_only=True)
class Decider(Generic[C, S, E]):
    """Decides on commands by a state that is the fold of the events so far::

        account = Decider(name="account", initial=Account(), decide=decide, evolve=evolve)

    `decide` returns the new events for a command and raises a `RefusedError` for a no; `evolve`
    returns the state after an event. Both are pure. `name` stands in stream ids, and `context`
    names the bounded context (default: that of the events).
    """

    name: str
    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    event_types: tuple[type[E], ...] = ()
    context: str | None = None

    def __post_init__(self) -> None:
        check_owner_name(self.name)
        if self.context is not None:
            check_context_name(self.context)
        if not self.event_types:
            self._event_parameter()

    @cached_property
    def events(self) -> tuple[type[Any], ...]:
        """The types of events: `event_types`, else those in the annotation of `evolve`.

        Raises:
            WiringError: the annotation can't be resolved or is no class or union of classes.
        """
        if self.event_types:
            return self.event_types
        try:
            return annotated_classes(self.evolve, self._event_parameter())
        except NameError as error:
            raise self._fault(f"{error}.") from error

    def fold(self, events: Iterable[E]) -> S:
        """Return the state after *events*, beginning with `initial`.

        Raises:
            ApplyError: `evolve` failed on one of them; its error is the cause.
        """
        evolve, state = self.evolve, self.initial
        version = 1
        event: E | None = None
        try:
            for event in events:
                state = evolve(state, event)
                version += 1
        except Exception as error:
            raise ApplyError(
                f"Decider {self.name!r}",
                "",
                event_type=event_name(event),
                version=version,
                problem=f"{type(error).__name__}: {error}",
            ) from error
        return state

    def _event_parameter(self) -> str:
        parameters = list(inspect.signature(self.evolve).parameters.values())
        if len(parameters) < 2 or parameters[1].annotation is inspect.Parameter.empty:
            raise self._fault("its evolve does not say which events it takes.")
        return parameters[1].name

    def _fault(self, problem: str) -> WiringError:
        return WiringError(
            [
                WiringFault(
                    f"Decider {self.name!r}: {problem}",
                    where=where_is(self.evolve),
                    advice="Annotate it: def evolve(state: Account, event: Opened | Closed) -> "
                    "Account, or give event_types=(Opened, Closed).",
                )
            ]
        )
