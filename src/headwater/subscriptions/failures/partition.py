"""The failures of one leased partition: who is held, who waits, and what is tried again."""

from collections.abc import Sequence

from headwater.errors import HeldLimitError, WorkerDiedError
from headwater.operations.dead_letters.deliveries import (
    HeldDelivery,
    delivery_id,
    delivery_row,
)
from headwater.operations.dead_letters.suspects import suspect_gone, suspect_row
from headwater.ports.changes import RowChange
from headwater.ports.leases import Checkpoint, Lease
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.failure import Charge, Hold, Resolution, Stop, Suspend, Work
from headwater.subscriptions.failures.crash_watch import DIED_ALONE_MAX, CrashWatch
from headwater.subscriptions.failures.held_keys import Held, HeldKeys, waiting
from headwater.subscriptions.failures.keeping import Keeping
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.failures.records import begun, subjects_of
from headwater.subscriptions.failures.retrying import Retrying
from headwater.subscriptions.failures.ruling import ruling_on
from headwater.subscriptions.status import HeldCounts
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack


class PartitionFailures:
    """Holds what failed in one partition, and what waits behind it; a `Failures`.

    The memory follows what is committed: an entry past the checkpoint is one whose commit is still
    to come, or never came.
    """

    def __init__(self, charge: Charge, means: Means) -> None:
        self._charge, self._means = charge, means
        self._begin(Lease(charge.partition, 0, Checkpoint(0)))

    def _begin(self, lease: Lease) -> None:
        means, charge = self._means, self._charge
        self._keys, self._watch = HeldKeys(), CrashWatch(means.name)
        self._keeping = Keeping(charge, means, lease)
        self._retrying = Retrying(
            self, charge, means, keeping=self._keeping, keys=self._keys, watch=self._watch
        )

    # ------------------------------------------------------------------------ the lease

    async def load(self, lease: Lease) -> None:
        """Read what is held in the partition."""
        await self._means.prepare()
        self._begin(lease)
        self._keys.take(await self._keeping.held())
        if self._means.watches_crashes:
            self._watch.begin(lease, await self._keeping.suspect())
        reach("held-loaded")
        self._means.suspension.end_turn(self)
        self._means.join(self)

    def leave(self) -> None:
        """Let others go on with what this partition was trying."""
        self._means.leave(self)

    def wake(self) -> None:
        """Have the lane look again what is due."""
        self._charge.wake()

    def take_back(self, id: str, *, due_in: float) -> None:
        """Give a held delivery back the attempt it has used, and try it in *due_in* seconds."""
        self._retrying.take_back(id, due_in=due_in)
        self._charge.wake()

    async def ready(self) -> None:
        """Return when the next batch may be handed over."""
        await self._means.suspension.ready(self)

    # ------------------------------------------------------------------------- holding

    def holds(self, key: str) -> bool:
        """Return whether events of *key* have to wait."""
        return self._keys.holds(key)

    def hold_back(self, arrivals: Sequence[Arrival]) -> HeldBack:
        """Return what keeps the place of *arrivals*, of one stored event, whose keys are held.

        Raises:
            HeldLimitError: too many wait.
        """
        position = arrivals[0].stored.position
        rows: list[RowChange] = []
        for arrival in {each.key: each for each in arrivals}.values():
            held = self._keys.get(delivery_id(self._means.name, arrival.key, position))
            if held is None:
                held = self._wait(arrival)
            rows.append(delivery_row(held.row(self._means.name)))
        return HeldBack(position, tuple(rows))

    def _wait(self, arrival: Arrival) -> Held:
        limit = self._means.policy.waiting_max
        if self._keys.waiting >= limit:
            raise HeldLimitError(self._means.name, self._charge.partition, limit=limit)
        stored = arrival.stored
        held = waiting(
            self._means.name,
            arrival.key,
            position=stored.position,
            event_id=arrival.event_id,
            stream=stored.stream_id,
            type=stored.type,
            now=self._means.now(),
        )
        self._keys.put(held)
        return held

    # ------------------------------------------------------------------------- failing

    async def resolve(self, arrivals: Sequence[Arrival], error: Exception) -> Resolution:
        """Say what becomes of one stored event of which the handling failed with *error*."""
        self._watch.survived()
        opened = self._means.suspension.judge(self, error)
        if opened is not None and not opened.probe:
            for arrival in arrivals:
                arrival.attempts = arrival.tried
            return opened.suspend
        keys = {arrival.key: arrival for arrival in arrivals}
        if len(keys) > 1 and not self._means.policy.stops_at_once:
            # Which of them it was is found out by handing them over one after the other.
            return self._hold([self._begun(one, arrivals) for one in keys.values()], ())
        record = self._begun(arrivals[0], arrivals)
        ruled = ruling_on(self._means, record, error, opened=opened)
        if isinstance(ruled, Stop):
            return ruled
        if opened is None:
            self._means.suspension.used(self, ruled.record.id, error)
        return self._hold([ruled.record], ruled.audit)

    def _begun(self, arrival: Arrival, of_event: Sequence[Arrival]) -> HeldDelivery:
        return begun(
            self._means.name,
            arrival,
            now=self._means.now(),
            subjects=subjects_of(self._means.codec, [arrival]),
            tries=max(one.tried for one in of_event),
        )

    def _hold(self, records: Sequence[HeldDelivery], audit: tuple[RowChange, ...]) -> Hold:
        position = records[0].position
        for record in records:
            self._keys.put(Held.of(record))
        own = {record.id for record in records}
        # Others that the same event is for wait already; the commit that would tell was refused.
        beside = [held for held in self._keys.at(position) if held.id not in own]
        rows = [delivery_row(record) for record in records]
        rows += [delivery_row(held.row(self._means.name)) for held in beside]
        return Hold((*rows, *audit))

    def passed(self, batch: Batch, done: int) -> None:
        """Hear that the first *done* arrivals of *batch* are committed."""
        self._watch.survived(done)
        self._means.suspension.succeeded(self)

    # -------------------------------------------------------------------------- crashes

    @property
    def alone(self) -> bool:
        """Whether each event has to be tried alone, because a worker may have died over one."""
        return self._watch.alone

    async def before_alone(self, batch: Batch) -> Resolution | None:
        """Note durably that the one event of *batch* is tried alone now; None: go on with it."""
        first = batch.arrivals[0]
        position = first.stored.position
        died = self._watch.died(position)
        if died < DIED_ALONE_MAX:
            await self._keeping.commit(batch.before, (suspect_row(self._watch.trying(position)),))
            return None
        error = WorkerDiedError(self._means.name, position=position, times=died)
        acquittal = suspect_gone(self._means.name, self._charge.partition)
        records: list[HeldDelivery] = []
        audit = [acquittal]
        for arrival in {each.key: each for each in batch.arrivals}.values():
            ruled = ruling_on(self._means, self._begun(arrival, batch.arrivals), error, final=True)
            if isinstance(ruled, Stop):
                await self._keeping.commit(batch.before, (acquittal,))
                self._watch.acquit()
                return ruled
            records.append(ruled.record)
            audit += ruled.audit
        self._watch.survived()
        return self._hold(records, tuple(audit))

    # --------------------------------------------------------------------- trying again

    @property
    def due_at(self) -> float | None:
        """The clock's monotonic time at which `work_due` has something to do; None: never."""
        return self._retrying.due_at

    async def work_due(self, at: Checkpoint, work: Work) -> Suspend | Stop | None:
        """Redeliver some of what is due, and carry out some of what operators ask for."""
        return await self._retrying.work_due(at, work)

    # -------------------------------------------------------------------------- waiting

    def parked(self, position: int) -> Sequence[str]:
        """Return the keys that stand behind a dead letter at or before *position*."""
        return self._keys.parked(position)

    def pending(self, position: int) -> bool:
        """Return whether something at or before *position* is still to be tried again."""
        return self._keys.pending(position)

    def counts(self) -> HeldCounts:
        """Return how much is held."""
        return self._keys.counts()
