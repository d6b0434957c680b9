"""The ruling on an attempt that failed: the record of the delivery as it is kept from now on."""

import msgspec

from headwater.errors import UncertainEffectError
from headwater.operations.dead_letters.audit import WORKER, AuditEntry, audit_row
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery
from headwater.ports.changes import RowChange
from headwater.resilience.failures import is_refusal
from headwater.subscriptions.failure import Stop
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.failures.records import failed
from headwater.subscriptions.failures.suspension import Opened
from headwater.subscriptions.failures.trouble import trouble_of
from headwater.subscriptions.failures.verdict import Dead, Later, StopAll, verdict_on

_MICROSECONDS = 1_000_000


class Ruled(msgspec.Struct, frozen=True):
    """The record as it is kept, and what is written beside it."""

    record: HeldDelivery
    audit: tuple[RowChange, ...] = ()


def ruling_on(
    means: Means,
    record: HeldDelivery,
    error: Exception,
    *,
    opened: Opened | None = None,
    final: bool = False,
) -> Ruled | Stop:
    """Return what becomes of the delivery of *record*, an attempt of which failed with *error*.

    *opened*: a circuit breaker says that no event is to blame. *final*: no other attempt can help.
    What is dead stays so, whoever has tried it again.
    """
    now = means.now()
    if opened is not None:
        later = Later(now + round(opened.seconds * _MICROSECONDS))
        return Ruled(_failed(means, record, error, later, counted=False, now=now))
    if record.state is DeliveryState.DEAD:
        dead = Dead(record.parks)
        return Ruled(_failed(means, record, error, dead, counted=True, now=now))
    # Of what is uncertain no other attempt finds out more: somebody has to look.
    final = final or is_refusal(error) or isinstance(error, UncertainEffectError)
    outcome = verdict_on(means.policy, used=record.counted + 1, final=final, now=now)
    if isinstance(outcome, StopAll):
        return Stop(error, record.position)
    changed = _failed(means, record, error, outcome, counted=True, now=now)
    if isinstance(outcome, Later):
        return Ruled(changed)
    action = "parked" if outcome.parks else "put aside"
    reason = f"{changed.error} at {changed.place}" if changed.place else changed.error
    return Ruled(changed, (worker_audit(means, changed, action, reason=reason),))


def stopped_over(means: Means, record: HeldDelivery, error: Exception) -> HeldDelivery:
    """Return the record of what the subscription stops over: tried again when it goes on."""
    now = means.now()
    return _failed(means, record, error, Later(now), counted=True, now=now)


def worker_audit(
    means: Means, record: HeldDelivery, action: str, *, reason: str = "", by: str = WORKER
) -> RowChange:
    """Return the change that writes into the audit what was done with the delivery of *record*."""
    return audit_row(
        AuditEntry(
            means.now(),
            by,
            action,
            record.subscription,
            record.id,
            record.key,
            record.position,
            reason,
        )
    )


def _failed(
    means: Means,
    record: HeldDelivery,
    error: Exception,
    outcome: Later | Dead,
    *,
    counted: bool,
    now: int,
) -> HeldDelivery:
    trouble = trouble_of(error)
    return failed(record, trouble, outcome, counted=counted, now=now, code=means.code)
