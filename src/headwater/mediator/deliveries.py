"""Deliveries: handlers that get events from the log, compiled like all the others."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from headwater.errors import HandlerNotFoundError
from headwater.mediator.injection import CallPlan
from headwater.mediator.matching import stands_for
from headwater.mediator.scopes import Call


class DeliveryPlan(msgspec.Struct, frozen=True, eq=False):
    """One function or method that takes events; `recorded` if it asks for `Recorded` ones."""

    call: CallPlan
    patterns: tuple[type, ...]
    recorded: bool


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
    ) -> None:
        self._name, self._plans, self._compose = name, plans, compose
        self._calls: dict[type, tuple[Call, bool]] = {}

    @property
    def messages(self) -> tuple[type, ...]:
        """The classes and Protocols that the handler names."""
        return tuple(dict.fromkeys(cls for plan in self._plans for cls in plan.patterns))

    def __call__(self, event: Delivered, /) -> Coroutine[Any, Any, Any]:
        """Hand over *event*; await the handler.

        Raises:
            HandlerNotFoundError: no method takes it.
        """
        payload: object = event.payload
        event_type = type(payload)
        call, recorded = self._calls.get(event_type) or self._call(event_type)
        return call(event.recorded if recorded else event.payload)

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
