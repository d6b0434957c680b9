"""The status of subscriptions as their storage tells it, whichever processes run them."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from headwater.clock import Clock, microseconds_since_epoch
from headwater.monitoring.held import held_counts
from headwater.monitoring.lag import with_lag
from headwater.monitoring.reporting import AGAIN_SECONDS
from headwater.operations.control import CONTROL_ROWS, Control, read_control
from headwater.operations.worker_reports import WorkerReport, reports_on
from headwater.ports.leases import PartitionState
from headwater.ports.storage import Storage
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus

LIVE_SECONDS: Final = 5.0
"""Up to which lag a subscription counts as live: places without events are stored late."""

BELIEVED_SECONDS: Final = 3 * AGAIN_SECONDS
"""For how long it is believed what a worker without a lease has said."""

PARTITIONS_NAMED_MAX: Final = 5

MICROSECONDS: Final = 1_000_000


async def stored_statuses(
    log: Storage, storage: Storage, *, clock: Clock, names: Sequence[str] = ()
) -> tuple[SubscriptionStatus, ...]:
    """Return the status of the subscriptions in *storage*, by name; of *names* only, if any.

    *log* is where their events are. A lease counts as lost when it has run out by *clock*.

    Raises:
        StorageError: one of them can't be used.
        ConfigurationError: a control row is not one that this code can read.
    """
    prepared = {spec.name for spec in await storage.collections()}
    head = await log.head()
    found: list[SubscriptionStatus] = []
    for stored in await storage.subscriptions():
        if names and stored.name not in names:
            continue
        states = await storage.partition_states(stored.name)
        controlled = CONTROL_ROWS.name in prepared
        control = await _control(storage, stored.name) if controlled else Control()
        held = await held_counts(storage, stored.name)
        status = _status(stored.name, states, control, held, head=head, clock=clock)
        reports = await reports_on(storage, stored.name)
        found.append(_as_reported(status, reports, now=microseconds_since_epoch(clock.now())))
    looked = await with_lag(found, log=log, clock=clock)
    return tuple(map(_live_or_not, looked))


def _status(
    name: str,
    states: Sequence[PartitionState],
    control: Control,
    held: HeldCounts,
    *,
    head: int,
    clock: Clock,
) -> SubscriptionStatus:
    now = clock.now().timestamp() * MICROSECONDS
    owners = tuple(state.worker if (state.expires_at or 0) > now else None for state in states)
    checkpoints = tuple(state.checkpoint.position for state in states)
    position = min(checkpoints, default=0)
    state, why = SubscriptionState.CATCHING_UP, None
    if control.retired:
        # Nothing waits for it any more.
        state, why, head = SubscriptionState.RETIRED, control.waits_for, position
    elif control.paused:
        state, why = SubscriptionState.PAUSED, control.waits_for
    elif control.stop_at is not None and position >= control.stop_at:
        state, why = SubscriptionState.PAUSED, f"stands at position {control.stop_at}, as wanted"
    elif not any(owners):
        state, why = SubscriptionState.UNATTENDED, _last_owners(states)
    elif position >= head:
        state = SubscriptionState.LIVE
    return SubscriptionStatus(
        name, state, position, max(head, position), checkpoints, why, owners=owners, held=held
    )


def _as_reported(
    status: SubscriptionStatus, reports: Sequence[WorkerReport], *, now: int
) -> SubscriptionStatus:
    """Return *status* with what its workers say of it, if that can still be true."""
    if status.state in (SubscriptionState.RETIRED, SubscriptionState.PAUSED):
        return status
    owners = {owner for owner in status.owners if owner is not None}
    for report in reports:
        if owners:
            believed = report.worker in owners
        else:
            # Nobody has the partitions: because of this, if it was said a moment ago. What has
            # stopped with an error stays so until somebody works it again.
            recent = now - report.at < BELIEVED_SECONDS * MICROSECONDS
            believed = recent or report.state == SubscriptionState.FAILED.value
        if believed:
            return msgspec.structs.replace(
                status,
                state=SubscriptionState(report.state),
                error=f"{report.problem} (worker {report.worker})",
                failed_at=report.failed_at,
            )
    return status


def _last_owners(states: Sequence[PartitionState]) -> str:
    last = sorted({state.worker for state in states if state.worker is not None})
    if not last:
        return "no worker has any of its partitions"
    return f"the leases of its last workers have run out: {', '.join(last)}"


def _live_or_not(status: SubscriptionStatus) -> SubscriptionStatus:
    lag, catching_up = status.lag_seconds, status.state is SubscriptionState.CATCHING_UP
    if catching_up and lag is not None and lag < LIVE_SECONDS:
        return msgspec.structs.replace(status, state=SubscriptionState.LIVE)
    return status


def stalled_or_not(
    before: Mapping[str, SubscriptionStatus], after: SubscriptionStatus, *, limit_seconds: float
) -> SubscriptionStatus:
    """Return *after*, STALLED if nothing of it moved since *before* and it lags past its limit."""
    earlier = before.get(after.name)
    if (
        earlier is None
        or after.state not in (SubscriptionState.CATCHING_UP, SubscriptionState.LIVE)
        or not after.lag_events
        or (after.checkpoints, after.held) != (earlier.checkpoints, earlier.held)
        or after.lag_seconds is None
        or after.lag_seconds < limit_seconds
    ):
        return after
    problem = (
        f"an event has waited for {after.lag_seconds:.0f} s and no checkpoint moves: "
        f"{'; '.join(_standing(after))}"
    )
    return msgspec.structs.replace(after, state=SubscriptionState.STALLED, error=problem)


def _standing(status: SubscriptionStatus) -> list[str]:
    behind = [
        (position, partition, owner)
        for partition, (position, owner) in enumerate(
            zip(status.checkpoints, status.owners, strict=True)
        )
        if position < status.head
    ]
    said = [
        f"partition {partition} stands at {position}, "
        + (f"leased by {owner}; what does that worker say?" if owner else "and nobody has it")
        for position, partition, owner in sorted(behind)[:PARTITIONS_NAMED_MAX]
    ]
    more = len(behind) - len(said)
    return [*said, f"{more} more"] if more else said


async def _control(storage: Storage, name: str) -> Control:
    await storage.prepare_collections([CONTROL_ROWS])
    return await read_control(storage, name)
