"""Deliveries: what a handler can ask about the attempt in which it is handed an event."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from headwater.clock import Clock
from headwater.errors import ConfigurationError
from headwater.ids import derived_id
from headwater.resilience import seconds_left
from headwater.subscriptions.subscription import Arrival

_DELIVERY: Final = "$delivery"


class Delivery(msgspec.Struct, frozen=True):
    """One attempt to hand an event to a handler.

    `idempotency_key` is the same whenever this subscription hands over this event, or this part
    of an event that upcasters split; give it to whatever outside can tell a repetition by it.
    `attempt` counts from 1 how often the handler was called with the event: on the spot by its
    policy, delayed, or replayed. Runs again after a conflict, and what a crash has cut off, don't
    count. `deadline` is the time at which a `Timeout` of the handler's policy ends this attempt,
    None without one.
    """

    subscription: str
    event_id: UUID
    stream_id: str
    version: int
    position: int
    idempotency_key: UUID
    attempt: int = 1
    deadline: datetime | None = None


class Handing:
    """The handing over of some events, in one attempt or several; deliveries are made on demand."""

    __slots__ = ("_arrivals", "_clock", "_made", "_subscription", "attempt")

    def __init__(
        self, subscription: str, arrivals: Sequence[Arrival], *, clock: Clock, before: int = 0
    ) -> None:
        """Count attempts from *before* on, beside those that are kept of each event."""
        self._subscription, self._arrivals, self._clock = subscription, arrivals, clock
        self.attempt = before
        self._made: Sequence[Delivery] = ()
        self._note()

    def begin(self) -> None:
        """Begin the next attempt."""
        self.attempt += 1
        self._made = ()
        self._note()

    def _note(self) -> None:
        for arrival in self._arrivals:
            arrival.tried = arrival.attempts + self.attempt

    def deliveries(self) -> Sequence[Delivery]:
        """Return the deliveries of this attempt, one for each event."""
        if not self._made:
            left = seconds_left()
            deadline = None if left is None else self._clock.now() + timedelta(seconds=left)
            self._made = [self._delivery(arrival, deadline) for arrival in self._arrivals]
        return self._made

    def _delivery(self, arrival: Arrival, deadline: datetime | None) -> Delivery:
        stored = arrival.stored
        return Delivery(
            self._subscription,
            UUID(bytes=stored.id),
            stored.stream_id,
            stored.version,
            stored.position,
            idempotency_key(self._subscription, arrival),
            arrival.tried,
            deadline,
        )


CURRENT_HANDING: Final[ContextVar[Handing | None]] = ContextVar("headwater_delivery", default=None)


def idempotency_key(subscription: str, arrival: Arrival) -> UUID:
    """Return what is the same whenever *subscription* hands over the event of *arrival*."""
    # Without the type's name, which upcasters may change.
    return derived_id(UUID(bytes=arrival.stored.id), subscription, _DELIVERY, 0)


def current_deliveries() -> Sequence[Delivery]:
    """Return the deliveries that are being handled here, in order; empty outside of any."""
    handing = CURRENT_HANDING.get()
    return handing.deliveries() if handing is not None else ()


def current_delivery() -> Delivery | None:
    """Return the delivery that is being handled here, None outside of any.

    Raises:
        ConfigurationError: a list of events is handled here.
    """
    deliveries = current_deliveries()
    if len(deliveries) > 1:
        raise ConfigurationError(
            f"{len(deliveries)} events are handled here at once, each with a delivery of its own. "
            f"Ask for list[Delivery]."
        )
    return deliveries[0] if deliveries else None


def delivery_values(annotation: Any) -> Callable[[], Any] | None:
    """Resolve what handlers ask for: ``Delivery``, or ``list[Delivery]`` with a list of events."""
    if annotation is Delivery:
        return current_delivery
    return (lambda: list(current_deliveries())) if annotation == list[Delivery] else None
