"""Deliveries: handlers that get events from the log, compiled like all the others."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from headwater.errors import HandlerNotFoundError
from headwater.mediator.injection import CallPlan
from headwater.mediator.matching import stands_for
from headwater.mediator.scopes import Call
from headwater.resilience import Guard


class DeliveryPlan(msgspec.Struct, frozen=True, eq=False):
    """One function or method that takes events, a list of them if `many`.

    `recorded` if it asks for `Recorded` ones.
    """

    call: CallPlan
    patterns: tuple[type, ...]
    recorded: bool
    many: bool = False


class Delivered(Protocol):
    """An event that has been read from the log."""

    @property
    def payload(self) -> Any:
        """The bare event."""
        ...

    @property
    def recorded(self) -> Any:
        """The event with its record."""
        ...


class Deliverer:
    """Hands events to the methods of one durable handler.

    Of several methods that fit an event, the one for the most specific class is called.
    """

    def __init__(
        self,
        name: str,
        plans: Sequence[DeliveryPlan],
        compose: Callable[[DeliveryPlan, type], Call],
        compose_list: Callable[[DeliveryPlan], Call],
    ) -> None:
        self._name, self._plans, self._compose = name, plans, compose
        self._compose_list = compose_list
        self._calls: dict[type, tuple[Call, bool]] = {}
        self._list_call: Call | None = None

    @property
    def messages(self) -> tuple[type, ...]:
        """The classes and Protocols that the handler names."""
        return tuple(dict.fromkeys(cls for plan in self._plans for cls in plan.patterns))

    @property
    def takes_lists(self) -> bool:
        """Whether it takes a list of events, by `hand_over_list`, instead of one at a time."""
        return any(plan.many for plan in self._plans)

    @property
    def policies(self) -> tuple[Guard | None, ...]:
        """What stands around attempts, each once: one for all, unless methods were decorated."""
        return tuple({id(plan.call.policy): plan.call.policy for plan in self._plans}.values())

    @property
    def dependencies(self) -> frozenset[Any]:
        """The annotations of all that it asks for besides events."""
        return frozenset(
            dependency.annotation
            for plan in self._plans
            for dependency in plan.call.signature.dependencies
        )

    def __call__(self, event: Delivered, /) -> Coroutine[Any, Any, Any]:
        """Hand over *event*; await the handler.

        Raises:
            HandlerNotFoundError: no method takes it.
        """
        payload: object = event.payload
        event_type = type(payload)
        call, recorded = self._calls.get(event_type) or self._call(event_type)
        return call(event.recorded if recorded else event.payload)

    def hand_over_list(self, events: Sequence[Delivered], /) -> Coroutine[Any, Any, Any]:
        """Hand over *events* at once, to a handler that takes lists; await it."""
        [plan] = self._plans
        call = self._list_call = self._list_call or self._compose_list(plan)
        return call([event.recorded if plan.recorded else event.payload for event in events])

    def _call(self, event_type: type) -> tuple[Call, bool]:
        plan = self._nearest(event_type)
        if plan is None:
            problem = f"{self._name} has no method for {event_type.__name__}."
            raise HandlerNotFoundError(event_type, problem)
        made = self._calls[event_type] = self._compose(plan, event_type), plan.recorded
        return made

    def _nearest(self, event_type: type) -> DeliveryPlan | None:
        for base in event_type.__mro__:
            for plan in self._plans:
                if base in plan.patterns:
                    return plan
        fitting = (p for p in self._plans if any(stands_for(t, event_type) for t in p.patterns))
        return next(fitting, None)
