"""Subscribers: handlers that get every event of their types after its commit, at least once."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final, Protocol
from uuid import UUID

import msgspec

from headwater.errors import ConflictError
from headwater.ids import derived_id
from headwater.metadata import CURRENT_CONTEXT
from headwater.serialization.envelope import context_of
from headwater.subscriptions.subscription import Arrival, MoveCheckpoint, Worked
from headwater.unit_of_work.unit import CURRENT_UNIT, IdSource, UnitOfWork
from headwater.unit_of_work.units import Units


class Delivery(msgspec.Struct, frozen=True):
    """One attempt to hand an event to a handler.

    `idempotency_key` is the same for every attempt at this event by this subscription; give it
    to whatever outside can tell a repetition by it.
    """

    subscription: str
    event_id: UUID
    stream_id: str
    version: int
    position: int
    attempt: int
    idempotency_key: UUID


CURRENT_DELIVERY: Final[ContextVar[Delivery | None]] = ContextVar(
    "headwater_delivery", default=None
)
"""The delivery that is being handled here, None outside of any."""


class Handle(Protocol):
    """A compiled handler with behaviours and dependencies."""

    def __call__(self, arrival: Arrival, delivery: Delivery, /) -> Awaitable[object]:
        """Handle one event within the current unit of work."""
        ...


class SubscriberConsumer:
    """Hands events to a handler, each within a unit of work of its own.

    What the handlers of one batch collect is committed together with the checkpoint, so its
    effect in the storage happens once. What they do outside happens at least once.
    """

    def __init__(
        self,
        subscription: str,
        handle: Handle,
        *,
        units: Units,
        key_of: Callable[[Arrival], str] | None = None,
    ) -> None:
        """Keep the order of the events of one key; by default, of one stream."""
        self._subscription, self._handle, self._units = subscription, handle, units
        self._key_of = key_of
        self._attempts: dict[int, int] = {}

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order."""
        return self._key_of(arrival) if self._key_of is not None else arrival.stored.stream_id

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing is read ahead."""

    async def work(self, batch: Sequence[Arrival], move: MoveCheckpoint) -> Worked:
        """Hand over *batch* in order; commit what was collected with the checkpoint."""

        async def handle_all(unit: UnitOfWork) -> Worked:
            for done, arrival in enumerate(batch):
                try:
                    await self._hand_over(arrival, unit)
                except ConflictError:
                    raise
                except Exception as error:  # noqa: BLE001 - the end of a delivery: told in the status
                    return Worked(done, error)
            return Worked(len(batch))

        try:
            worked = (await self._units.run(handle_all, checkpoints=move)).result
        finally:
            for arrival in batch:
                self._attempts.pop(arrival.stored.position, None)
        return worked

    async def _hand_over(self, arrival: Arrival, unit: UnitOfWork) -> None:
        delivery = self._delivery(arrival)
        child = unit.child(ids=_ids_for(delivery))
        context = CURRENT_CONTEXT.set(context_of(arrival.stored))
        current = CURRENT_UNIT.set(child)
        delivered = CURRENT_DELIVERY.set(delivery)
        try:
            await self._handle(arrival, delivery)
            unit.merge(child)
        finally:
            CURRENT_DELIVERY.reset(delivered)
            CURRENT_UNIT.reset(current)
            CURRENT_CONTEXT.reset(context)

    def _delivery(self, arrival: Arrival) -> Delivery:
        stored = arrival.stored
        event_id = UUID(bytes=stored.id)
        attempt = self._attempts[stored.position] = self._attempts.get(stored.position, 0) + 1
        return Delivery(
            self._subscription,
            event_id,
            stored.stream_id,
            stored.version,
            stored.position,
            attempt,
            derived_id(event_id, self._subscription, stored.type, 0),
        )


def _ids_for(delivery: Delivery) -> IdSource:
    """Events made out of an event get ids derived from it: made again, they are the same."""
    made: dict[str, int] = {}

    def next_id(event: object) -> bytes:
        name = f"{type(event).__module__}.{type(event).__qualname__}"
        ordinal = made[name] = made.get(name, 0) + 1
        return derived_id(delivery.event_id, delivery.subscription, name, ordinal).bytes

    return next_id
