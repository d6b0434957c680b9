"""How the record of a held delivery changes."""

from collections.abc import Sequence

from msgspec.structs import replace

from headwater.errors import HeadwaterError
from headwater.operations.dead_letters.deliveries import (
    ATTEMPTS_KEPT_MAX,
    Attempt,
    DeliveryState,
    HeldDelivery,
)
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal import addressees
from headwater.subscriptions.failures.trouble import Trouble
from headwater.subscriptions.failures.verdict import Dead, Later
from headwater.subscriptions.subscription import Arrival


def begun(
    subscription: str, arrival: Arrival, *, now: int, subjects: tuple[str, ...], tries: int
) -> HeldDelivery:
    """Return the record of an event of which nothing is held yet, ready to be tried again."""
    stored = arrival.stored
    return HeldDelivery(
        subscription,
        arrival.key,
        stored.position,
        arrival.event_id.hex(),
        stored.stream_id,
        stored.type,
        DeliveryState.READY,
        now,
        due_at=now,
        subjects=subjects,
        tries=tries,
    )


def failed(
    record: HeldDelivery,
    trouble: Trouble,
    outcome: Later | Dead,
    *,
    counted: bool,
    now: int,
    code: str,
) -> HeldDelivery:
    """Return *record* after an attempt that failed with *trouble*."""
    attempt = Attempt(now, trouble.error, trouble.message, counted)
    later = isinstance(outcome, Later)
    return replace(
        record,
        state=DeliveryState.DELAYED if later else DeliveryState.DEAD,
        due_at=outcome.due_at if isinstance(outcome, Later) else None,
        parks=True if isinstance(outcome, Later) else outcome.parks,
        counted=record.counted + counted,
        attempts=(*record.attempts, attempt)[-ATTEMPTS_KEPT_MAX:],
        error=trouble.error,
        message=trouble.message,
        place=trouble.place,
        traceback=trouble.traceback,
        code=code,
    )


def taken_back(record: HeldDelivery, *, due_at: int) -> HeldDelivery:
    """Return *record* without the attempt that it used last, to be tried again at *due_at*."""
    attempts = record.attempts
    if attempts:
        attempts = (*attempts[:-1], replace(attempts[-1], counted=False))
    return replace(
        record,
        state=DeliveryState.DELAYED,
        due_at=due_at,
        parks=True,
        counted=max(0, record.counted - 1),
        attempts=attempts,
    )


def subjects_of(codec: EventCodec, arrivals: Sequence[Arrival]) -> tuple[str, ...]:
    """Return of whom *arrivals* hold personal data: what errors say of them may hold it too."""
    if codec.registry.personal is None:
        return ()
    subjects: set[str] = set()
    for arrival in arrivals:
        if arrival.payload is None:
            continue
        try:
            subjects |= addressees(codec.encode(arrival.payload)[2])
        except HeadwaterError:
            # A handler has changed it; what it was, its stored form says no more.
            continue
    return tuple(sorted(subjects))
