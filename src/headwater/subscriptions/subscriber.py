"""Subscribers: handlers that get every event of their types after its commit, at least once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final
from uuid import UUID

import msgspec

from headwater.errors import ConflictError, HandlerCancelledError
from headwater.ids import derived_id
from headwater.metadata import CURRENT_CONTEXT
from headwater.ports.log import StoredEvent
from headwater.serialization.envelope import ContextOfEvent
from headwater.subscriptions.subscription import Arrival, Batch, Outcome, Worked
from headwater.unit_of_work.cancellation import cancelled_from_outside
from headwater.unit_of_work.collecting import IdSource
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork
from headwater.unit_of_work.units import Units


class Delivery(msgspec.Struct, frozen=True):
    """The handing over of one event to a handler.

    `idempotency_key` is the same whenever this subscription hands over this event; give it to
    whatever outside can tell a repetition by it.
    """

    subscription: str
    event_id: UUID
    stream_id: str
    version: int
    position: int
    idempotency_key: UUID


class _HandingOver:
    """A delivery that is made when a handler asks for it."""

    __slots__ = ("_delivery", "_stored", "_subscription")

    def __init__(self, subscription: str, stored: StoredEvent) -> None:
        self._subscription, self._stored = subscription, stored
        self._delivery: Delivery | None = None

    def delivery(self) -> Delivery:
        if self._delivery is None:
            stored = self._stored
            event_id = UUID(bytes=stored.id)
            self._delivery = Delivery(
                self._subscription,
                event_id,
                stored.stream_id,
                stored.version,
                stored.position,
                # Without the type's name, which upcasters may change.
                derived_id(event_id, self._subscription, _DELIVERY, 0),
            )
        return self._delivery


_DELIVERY: Final = "$delivery"

_CURRENT: Final[ContextVar[_HandingOver | None]] = ContextVar("headwater_delivery", default=None)


def current_delivery() -> Delivery | None:
    """Return the delivery that is being handled here, None outside of any."""
    handing_over = _CURRENT.get()
    return handing_over.delivery() if handing_over is not None else None


Handle = Callable[[Arrival], Awaitable[object]]
"""A compiled handler; it handles one event within the current unit of work."""


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

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order."""
        return self._key_of(arrival) if self._key_of is not None else arrival.stored.stream_id

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing is read ahead."""

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Hand over the batches side by side; each has a commit of its own."""
        if len(batches) == 1:
            return [await self._outcome(batches[0])]
        return await asyncio.gather(*map(self._outcome, batches))

    async def _outcome(self, batch: Batch) -> Outcome:
        try:
            return await self._work_batch(batch)
        except asyncio.CancelledError:
            if cancelled_from_outside():
                raise
            return HandlerCancelledError(self._subscription)
        except Exception as error:  # noqa: BLE001 - the runner decides what it means
            return error

    async def _work_batch(self, batch: Batch) -> Worked:
        async def handle_all(unit: UnitOfWork) -> Worked:
            done = 0
            for group in batch.groups():
                last = done + len(group) - 1
                # What came before in the same stored event is undone with what fails: a
                # checkpoint can't stand between them.
                around = unit if len(group) == 1 else unit.child()
                try:
                    for arrival in group:
                        await self._hand_over(arrival, around)
                        done += 1
                    if around is not unit:
                        unit.merge(around)
                except asyncio.CancelledError:
                    if cancelled_from_outside():
                        raise
                    return Worked(done, HandlerCancelledError(self._subscription))
                except Exception as error:
                    if isinstance(error, ConflictError) and unit.conflicted:
                        raise
                    return Worked(min(done, last), error)
                finally:
                    if around is not unit:
                        around.close()
            return Worked(done)

        done = await self._units.run(handle_all, advance=batch.advance)
        return done.result

    async def _hand_over(self, arrival: Arrival, unit: UnitOfWork) -> None:
        stored = arrival.stored
        child = unit.child(ids=_ids_for(self._subscription, stored))
        context = CURRENT_CONTEXT.set(ContextOfEvent(None, None, stored))
        current = CURRENT_UNIT.set(child)
        delivered = _CURRENT.set(_HandingOver(self._subscription, stored))
        try:
            await self._handle(arrival)
            unit.merge(child)
        finally:
            child.close()
            _CURRENT.reset(delivered)
            CURRENT_UNIT.reset(current)
            CURRENT_CONTEXT.reset(context)


def _ids_for(subscription: str, stored: StoredEvent) -> IdSource:
    """Events made out of an event get ids derived from it: made again, they are the same."""
    made: dict[str, int] = {}

    def next_id(event: object) -> bytes:
        name = f"{type(event).__module__}.{type(event).__qualname__}"
        ordinal = made[name] = made.get(name, 0) + 1
        return derived_id(UUID(bytes=stored.id), subscription, name, ordinal).bytes

    return next_id
