"""Deciders: an aggregate as two pure functions and a first state."""

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from headwater.domain.appliers import apply_error
from headwater.domain.applies import annotated_classes, where_is
from headwater.domain.identity import check_owner_name
from headwater.domain.snapshots import Loading, Snapshots, check_loading
from headwater.errors import WiringError, WiringFault
from headwater.streams import check_context_name

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class Decider(Generic[C, S, E]):
    """Decides on commands by a state that is the fold of the events so far::

        account = Decider(name="account", initial=Account(), decide=decide, evolve=evolve)

    `decide` returns the new events for a command and raises a `RefusedError` for a no; `evolve`
    returns the state after an event. Both are pure. `name` stands in stream ids, and `context`
    names the bounded context (None: that of the events). `snapshots`, `snapshot_version` and
    `cache` are those of an aggregate's class header.
    """

    def __init__(
        self,
        *,
        name: str,
        initial: S,
        decide: Callable[[C, S], Sequence[E]],
        evolve: Callable[[S, E], S],
        events: Sequence[type[E]] = (),
        context: str | None = None,
        snapshots: Snapshots | None = None,
        snapshot_version: int = 1,
        cache: int = 0,
    ) -> None:
        """Put a decider together.

        *events* are the types that *evolve* takes, where its annotation does not say them.

        Raises:
            InvalidNameError: *name* or *context* don't match their patterns.
            WiringError: neither *events* nor the annotation of *evolve* names the event types.
        """
        self.name: Final = check_owner_name(name)
        self.context: Final = check_context_name(context) if context is not None else None
        self.initial: Final = initial
        self.decide: Final = decide
        self.evolve: Final = evolve
        loading = Loading(snapshots or Snapshots(), snapshot_version, cache)
        self.loading: Final = check_loading(f"Decider {name!r}", evolve, loading)
        self._given: Final = tuple(events)
        if not events:
            self._event_parameter()

    @cached_property
    def events(self) -> tuple[type[Any], ...]:
        """The types of events, as given or as the annotation of `evolve` names them.

        Raises:
            WiringError: the annotation can't be resolved or is no class or union of classes.
        """
        if self._given:
            return self._given
        try:
            return annotated_classes(self.evolve, self._event_parameter())
        except NameError as error:
            raise self._fault(f"{error}.") from error

    @cached_property
    def state_type(self) -> Any:
        """The type of the state, as the annotation of `evolve` names it, else of `initial`.

        Raises:
            WiringError: the annotation can't be resolved.
        """
        try:
            return typing.get_type_hints(self.evolve, include_extras=True)["return"]
        except KeyError:
            return type(self.initial)
        except NameError as error:
            raise self._fault(f"{error}.") from error

    def fold(self, events: Iterable[E]) -> S:
        """Return the state after *events*, beginning with `initial`.

        Raises:
            ApplyError: `evolve` failed on one of them; its error is the cause.
        """
        return self.fold_on(self.initial, events)

    def fold_on(self, state: S, events: Iterable[E], *, after: int = 0) -> S:
        """Return the state after *events* that follow on *state*, which is that at *after*.

        Raises:
            ApplyError: `evolve` failed on one of them; its error is the cause.
        """
        evolve = self.evolve
        version = after + 1
        event: E | None = None
        try:
            for event in events:
                state = evolve(state, event)
                version += 1
        except Exception as error:
            owner = f"Decider {self.name!r}"
            raise apply_error(owner, "", event, error, version=version) from error
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
                    "Account, or give events=(Opened, Closed).",
                )
            ]
        )

    def __repr__(self) -> str:
        return f"<Decider {self.name!r}>"
