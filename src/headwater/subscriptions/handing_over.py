"""Handing over: one delivery, in a unit of work within that of its batch, under its policy."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from headwater.clock import Clock
from headwater.ids import derived_id
from headwater.metadata import CURRENT_CONTEXT, CausedContext, MessageContext
from headwater.ports.log import StoredEvent
from headwater.resilience import Guard, attempt_subject
from headwater.serialization.envelope import ContextOfEvent
from headwater.subscriptions.delivery import CURRENT_HANDING, Handing, idempotency_key
from headwater.subscriptions.subscription import Arrival
from headwater.unit_of_work.attempts import attempted
from headwater.unit_of_work.collecting import IdSource
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork

Handle = Callable[[Sequence[Arrival]], Awaitable[object]]
"""A compiled handler; it handles some events at once, within the current unit of work."""


class HandingOver:
    """Hands events to a handler; what it collects goes into a unit of work if it succeeds."""

    def __init__(
        self, subscription: str, handle: Handle, *, policy: Guard | None, clock: Clock
    ) -> None:
        """Let *policy*, if there is one, decide how often and when *handle* is tried."""
        self._subscription, self._handle = subscription, handle
        self._policy, self._clock = policy, clock

    def unguarded(self) -> "HandingOver":
        """Return the same without the policy: each call is one attempt, of which nobody hears."""
        return HandingOver(self._subscription, self._handle, policy=None, clock=self._clock)

    async def __call__(
        self,
        arrivals: Sequence[Arrival],
        unit: UnitOfWork,
        *,
        before: int = 0,
        of: Sequence[Arrival] | None = None,
    ) -> None:
        """Hand over *arrivals* at once; merge into *unit* what the attempt that succeeds collects.

        To a circuit breaker all attempts are tries at one thing, those at the parts *of* a list
        too. *before* attempts were made here already.

        Raises:
            Exception: what the handler, or its policy, raises; nothing was merged then.
        """
        handing = Handing(self._subscription, arrivals, clock=self._clock, before=before)
        context = CURRENT_CONTEXT.set(_context_of(arrivals))
        current = CURRENT_HANDING.set(handing)
        try:
            if self._policy is None:
                await self._attempt(handing, arrivals, unit)
            else:
                subject = self._subject(arrivals)
                with attempt_subject(subject, of=self._subject(of) if of is not None else None):
                    await self._attempts(self._policy, handing, arrivals, unit)
        finally:
            CURRENT_HANDING.reset(current)
            CURRENT_CONTEXT.reset(context)

    async def _attempt(
        self, handing: Handing, arrivals: Sequence[Arrival], unit: UnitOfWork
    ) -> None:
        handing.begin()
        child = unit.child(ids=_ids_for(self._subscription, arrivals[0].stored))
        current = CURRENT_UNIT.set(child)
        try:
            await self._handle(arrivals)
            unit.merge(child)
        finally:
            child.close()
            CURRENT_UNIT.reset(current)

    async def _attempts(
        self, policy: Guard, handing: Handing, arrivals: Sequence[Arrival], unit: UnitOfWork
    ) -> None:
        async def attempt(_: UnitOfWork) -> None:
            handing.begin()
            await self._handle(arrivals)

        await attempted(
            policy,
            attempt,
            within=unit,
            name=f"{self._subscription} at {arrivals[0].stored.position}",
            ids=lambda: _ids_for(self._subscription, arrivals[0].stored),
        )

    def _subject(self, arrivals: Sequence[Arrival]) -> str:
        """Return how circuit breakers know *arrivals*: an event as itself, and lists apart."""
        first, last = arrivals[0], arrivals[-1].stored.position
        key = str(idempotency_key(self._subscription, first))
        return key if first.stored.position == last else f"{key} to {last}"


def _ids_for(subscription: str, stored: StoredEvent) -> IdSource:
    """Events made out of an event get ids derived from it: made again, they are the same."""
    made: dict[str, int] = {}

    def next_id(event: object) -> bytes:
        name = f"{type(event).__module__}.{type(event).__qualname__}"
        ordinal = made[name] = made.get(name, 0) + 1
        return derived_id(UUID(bytes=stored.id), subscription, name, ordinal).bytes

    return next_id


def _context_of(arrivals: Sequence[Arrival]) -> MessageContext | CausedContext:
    """Return the context of what *arrivals* cause.

    Of several events at once it is that of the first, with only what all of them have in common
    of actor, tenant, trace and headers: what is made of them all is nobody's alone.
    """
    first = arrivals[0].stored
    if len(arrivals) == 1:
        return ContextOfEvent(None, None, first)
    context = ContextOfEvent(None, None, first).resolve()
    others = [arrival.stored for arrival in arrivals[1:]]
    return MessageContext(
        context.correlation_id,
        context.message_id,
        context.causation_id,
        context.actor if all(each.actor == first.actor for each in others) else None,
        context.tenant if all(each.tenant == first.tenant for each in others) else None,
        context.traceparent
        if all(each.traceparent == first.traceparent for each in others)
        else None,
        context.headers if all(each.headers == first.headers for each in others) else {},
    )
