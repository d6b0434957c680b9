"""Dead letters, for operators: look at them, correct them, have them replayed or discarded.

Nothing here changes what is held: it writes requests and corrections, which the worker that has
the partition carries out under its lease, within seconds.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from headwater.clock import Clock, SystemClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, DeliveryNotHeldError
from headwater.ids import new_id
from headwater.operations.dead_letters.audit import REASON_CHARS_MAX, AuditEntry, audit_row
from headwater.operations.dead_letters.correcting import (
    correction_of,
    event_at,
    store_correction,
)
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery
from headwater.operations.dead_letters.looking import HeldDeliveries
from headwater.operations.dead_letters.overrides import PayloadOverride, base_name, override_row
from headwater.operations.dead_letters.requests import (
    DeliveryRequest,
    RequestAction,
    request_row,
)
from headwater.ports.changes import Changes, RowChange
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec

REQUESTS_AT_ONCE: Final = 500
"""For how many deliveries one commit asks."""

_MICROSECONDS: Final = 1_000_000


class Asked(msgspec.Struct, frozen=True):
    """What was asked for at once: a name for all of it, and for how many deliveries it was."""

    together: str
    deliveries: int


class DeadLetters(HeldDeliveries):
    """What is held in *storage*, to look at and to have it mended."""

    def __init__(
        self,
        storage: Storage,
        *,
        log: Log | None = None,
        codec: EventCodec | None = None,
        clock: Clock | None = None,
        asked: Callable[[], None] | None = None,
    ) -> None:
        """Read events from *log*, or from *storage*; with a *codec* corrections are checked.

        *asked* is called after something was asked for, so that workers of this process look.
        """
        super().__init__(storage, log=log)
        self._codec, self._clock, self._asked = codec, clock or SystemClock(), asked

    # ------------------------------------------------------------------------- mending

    async def edit(self, id: str, data: str, *, author: str, reason: str) -> PayloadOverride:
        """Have the subscription read *data* in the place of the event that *id* delivers.

        It is JSON text in the form in which the event is stored. The log stays as it is; all
        generations of the subscription read it, and none that is still before the event passes it
        without, whoever works it. It is not replayed by that.

        Raises:
            DeliveryNotHeldError: none of that id is held, or its event was erased.
            SerializationError: the event can't be read from *data*.
            ConfigurationError: there is no author or reason, or no codec where one is needed.
        """
        held = await self.held(id)
        return await self._edit(held, data, author=author, reason=reason)

    async def edit_event(
        self, subscription: str, position: int, data: str, *, author: str, reason: str
    ) -> PayloadOverride:
        """As `edit`, for the event at *position*: one that a subscription has stopped at.

        *subscription* may be that of any generation of a projection, or the projection's name.
        """
        await self.prepare()
        known = {one.name for one in await self._storage.subscriptions()}
        if base_name(subscription) not in {base_name(name) for name in known}:
            raise ConfigurationError(
                f"There is no subscription {subscription!r} in this storage; there are: "
                f"{', '.join(sorted(known)) or '(none)'}."
            )
        event = await event_at(self._log, position)
        if event is None:
            raise DeliveryNotHeldError(f"{subscription} at {position}", "there is no such event")
        stopped = HeldDelivery(
            subscription,
            "",
            position,
            event.id.hex(),
            event.stream_id,
            event.type,
            DeliveryState.READY,
            0,
        )
        return await self._edit(stopped, data, author=author, reason=reason)

    async def _edit(
        self, held: HeldDelivery, data: str, *, author: str, reason: str
    ) -> PayloadOverride:
        _check_told(author, "an author")
        _check_told(reason, "a reason")
        event = await event_at(self._log, held.position)
        if event is None or not held.is_of(event.id):
            raise DeliveryNotHeldError(held.id, "its event was erased")
        correction = correction_of(event, data, self._codec)
        now = self._now()
        override = PayloadOverride(
            base_name(held.subscription),
            held.position,
            event.id.hex(),
            correction.type,
            correction.schema_version,
            correction.data,
            author,
            reason,
            now,
        )
        row = override_row(override, subjects=correction.subjects)
        audit = self._audit(held, "edited", by=author, reason=reason)
        await store_correction(self._storage, held.subscription, (row, audit))
        self._look()
        return override

    # -------------------------------------------------------------------------- asking

    async def replay(
        self,
        deliveries: Sequence[HeldDelivery],
        *,
        by: str,
        reason: str = "",
        per_second: float | None = None,
        stop_on_failure: bool = False,
    ) -> Asked:
        """Ask for *deliveries* to be handed over again, each followed by what waits behind it.

        At most *per_second* of them a second, all together. With *stop_on_failure* those that are
        left are dropped when one fails; what other workers have in hand is finished.

        Raises:
            ConfigurationError: one waits for an earlier event of its key, or *per_second* is not
                above 0, or nobody asks.
        """
        if per_second is not None and not per_second > 0:
            raise ConfigurationError(f"per_second is above 0, not {per_second}.")
        for one in deliveries:
            if one.state is DeliveryState.WAITING:
                raise ConfigurationError(
                    f"{one.id} waits for an earlier event of key {one.key!r}. Replay that; what "
                    f"waits follows by itself."
                )
        return await self._ask(
            deliveries,
            RequestAction.REPLAY,
            by=by,
            reason=reason,
            per_second=per_second,
            stop_on_failure=stop_on_failure,
        )

    async def discard(self, deliveries: Sequence[HeldDelivery], *, by: str, reason: str) -> Asked:
        """Ask for *deliveries* to be given up: their events are never handled.

        What waits behind one has its turn then.

        Raises:
            ConfigurationError: nobody asks, or without a reason.
        """
        _check_told(reason, "a reason")
        return await self._ask(deliveries, RequestAction.DISCARD, by=by, reason=reason)

    async def _ask(
        self,
        deliveries: Sequence[HeldDelivery],
        action: RequestAction,
        *,
        by: str,
        reason: str,
        per_second: float | None = None,
        stop_on_failure: bool = False,
    ) -> Asked:
        _check_told(by, "who asks")
        await self.prepare()
        together, now = new_id().hex, self._now()
        between = 0.0 if per_second is None else _MICROSECONDS / per_second
        rows: list[RowChange] = []
        for number, one in enumerate(deliveries):
            request = DeliveryRequest(
                one.id,
                one.subscription,
                one.key,
                one.position,
                one.held_at,
                action,
                by,
                now,
                together,
                not_before=now + round(number * between),
                reason=reason,
                stop_on_failure=stop_on_failure,
            )
            rows += (
                request_row(request),
                self._audit(one, f"{action.value} asked for", by=by, reason=reason),
            )
        for begin in range(0, len(rows), 2 * REQUESTS_AT_ONCE):
            some = tuple(rows[begin : begin + 2 * REQUESTS_AT_ONCE])
            await self._storage.commit(Changes(rows=some))
        self._look()
        return Asked(together, len(deliveries))

    def _audit(self, held: HeldDelivery, action: str, *, by: str, reason: str) -> RowChange:
        return audit_row(
            AuditEntry(
                self._now(),
                by,
                action,
                held.subscription,
                held.id,
                held.key,
                held.position,
                reason,
            )
        )

    def _look(self) -> None:
        if self._asked is not None:
            self._asked()

    def _now(self) -> int:
        return microseconds_since_epoch(self._clock.now())


def _check_told(text: str, what: str) -> None:
    if not text.strip():
        raise ConfigurationError(f"It is written into the audit, so say {what}.")
    if len(text) > REASON_CHARS_MAX:
        raise ConfigurationError(
            f"{what.capitalize()} has at most {REASON_CHARS_MAX} characters, not {len(text)}."
        )
