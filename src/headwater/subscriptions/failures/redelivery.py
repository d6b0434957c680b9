"""What is handed over again: read from the log where it stands, and decoded as it is now."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from headwater.errors import UnknownTypeError
from headwater.ports.log import WHOLE_LOG, Log, StoredEvent
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.failures.held_keys import Held
from headwater.subscriptions.failures.overrides import Overrides
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription


class Gone(msgspec.Struct, frozen=True):
    """There is nothing to hand over any more; `why` is for the audit."""

    why: str


class Unreadable(msgspec.Struct, frozen=True):
    """The event can't be decoded."""

    error: Exception


class Unknown(msgspec.Struct, frozen=True):
    """The event is of a type that a worker with newer code knows."""

    error: UnknownTypeError


Again = Sequence[Arrival] | Gone | Unreadable | Unknown


class Redelivery:
    """Makes the arrivals of held deliveries of one subscription."""

    def __init__(
        self,
        subscription: Subscription,
        consumer: Consumer,
        *,
        log: Log,
        codec: EventCodec,
        overrides: Overrides,
    ) -> None:
        self._subscription, self._consumer = subscription, consumer
        self._log, self._codec, self._overrides = log, codec, overrides

    async def of(self, held: Held, partition: int = 0, *, data: str | None = None) -> Again:
        """Return what is to be handed over for *held*, which is in *partition*.

        With *data*, as if that had been stored, or were in the place of what was.
        """
        stored = await self._stored(held)
        if stored is None:
            return Gone("the event was erased")
        if data is None:
            stored = await self._overrides.fresh(stored)
        else:
            stored = replace(stored, data=data)
        try:
            return self._arrivals(stored, held, partition)
        except UnknownTypeError as error:
            return Unknown(error)
        except Exception as error:  # noqa: BLE001 - a decoder, an upcaster or a key of a user
            return Unreadable(error)

    async def _stored(self, held: Held) -> StoredEvent | None:
        page = await self._log.read_log(after=held.position - 1, where=WHOLE_LOG, limit=1)
        if not page.events:
            return None
        (stored,) = page.events
        same = stored.position == held.position and stored.id.hex() == held.event_id
        return stored if same else None

    def _arrivals(self, stored: StoredEvent, held: Held, partition: int) -> Again:
        takes = self._subscription.takes
        parts = [
            (part, payload)
            for part, payload in self._codec.read(stored)
            if not takes or part.type in takes
        ]
        found: list[Arrival] = []
        for part, payload in parts:
            arrival = Arrival(part, payload)
            arrival.event_id = stored.id
            arrival.key = self._consumer.key_of(arrival)
            # A correction may lead to another key; it is still this delivery that is handed over.
            if arrival.key == held.key or len(parts) == 1:
                arrival.partition, arrival.attempts = partition, held.tries
                found.append(arrival)
        return found or Gone("it has become nothing that the subscription takes")
