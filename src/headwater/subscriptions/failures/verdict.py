"""The verdict on an attempt that failed: tried again later, dead, or a stop for all."""

import msgspec

from headwater.subscriptions.failures.policy import FailurePolicy, OnFailure

_MICROSECONDS = 1_000_000


class Later(msgspec.Struct, frozen=True):
    """It is tried again at `due_at` (microseconds since 1970 UTC); its key waits."""

    due_at: int


class Dead(msgspec.Struct, frozen=True):
    """It is a dead letter; `parks`: later events of its key wait behind it."""

    parks: bool


class StopAll(msgspec.Struct, frozen=True):
    """Nothing may pass it: the subscription stops."""


Verdict = Later | Dead | StopAll


def verdict_on(policy: FailurePolicy, *, used: int, final: bool, now: int) -> Verdict:
    """Return what becomes of an event of which *used* attempts, this one counted, have failed.

    *final*: no further attempt can help, or an operator asked for this one, and only for it.
    *now* is in microseconds since 1970 UTC.
    """
    if not final and used <= len(policy.delays):
        return Later(now + round(policy.delays[max(used, 1) - 1] * _MICROSECONDS))
    if policy.then is OnFailure.STOP:
        return StopAll()
    return Dead(policy.then is OnFailure.PARK_KEY)
