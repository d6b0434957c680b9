"""Lanes: each works the batches of its partitions one after another, and none waits for another."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from headwater.errors import (
    RowConflictError,
)
from headwater.subscriptions.control import is_of_control_row
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.failure import Stop, Suspend
from headwater.subscriptions.faults import PASSING, lies_in_an_event
from headwater.subscriptions.gathering import Gathering
from headwater.subscriptions.partitions import Partition
from headwater.subscriptions.settling import Settling
from headwater.subscriptions.subscription import Arrival, Batch, Outcome, Worked
from headwater.subscriptions.workplace import Workplace

BATCH_EVENTS_FIRST: Final = 16
"""How many events the first batch of a partition has at most."""

_Failed = tuple[Partition, Sequence[Arrival], Exception]


class Lane:
    """Works the events of its partitions in order: of one, or of all of them together."""

    def __init__(self, place: Workplace, *, together: bool) -> None:
        self._place, self._together = place, together
        self._settling = Settling(place)
        self.partitions: list[Partition] = []
        self._ends_of_pages: deque[tuple[int, int]] = deque()
        self._events_max = min(place.flight.flow.batch_events, place.subscription.page_events)
        gather = place.subscription.gather
        self._gathering = Gathering(
            gather, clock=place.clock, progress=place.progress, flight=place.flight
        )
        self._gathering.stop_at = place.control.stored.stop_at
        self._adapts = gather is None
        if gather is not None:
            self.events = gather.size
        elif together:
            self.events = self._events_max
        else:
            self.events = min(BATCH_EVENTS_FIRST, self._events_max)
        """How many events a batch has at most, as things go."""
        self.busy = False
        """Whether something is in hand that has to be finished."""
        self._ending = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work."""
        self._woken.set()

    def end(self) -> None:
        """Finish what is in hand, then end."""
        self._ending = True
        self._woken.set()

    def dealt(self, end: int, events: int) -> None:
        """Hear that *events* up to position *end* were dealt to the partitions of this lane."""
        if self._together:
            self._ends_of_pages.append((end, events))
        self._woken.set()

    def is_busy(self) -> bool:
        """Return whether something is in hand that has to be finished."""
        return self.busy

    # ------------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Work until `end`, or until something goes wrong that is not for this lane to settle.

        Raises:
            SubscriptionFailedError: an event failed, and nothing may pass it.
            StorageError: what came of the batch is unknown, or was refused; begin again from the
                checkpoints as they are.
        """
        while not self._ending:
            self._woken.clear()
            try:
                if not await self._turn():
                    await self._rest()
            except RowConflictError as error:
                if not is_of_control_row(error):
                    raise
                # Another worker has more types, or an operator has written. What was in hand is
                # queued again; it may go on, under the row as it is now.
                await self._place.control_changed()

    async def _turn(self) -> bool:
        """Do what there is to do; return whether there was something."""
        partitions = [one for one in self.partitions if not one.leaving and not one.storing]
        worked = False
        for partition in partitions:
            if not partition.loaded:
                await partition.failures.load(partition.lease)
                partition.loaded = True
            worked |= await self._work_due(partition)
        ready = [
            one
            for one in partitions
            if one.queue and one.blocked is None and self._gathering.is_ready(one)
        ]
        if not ready:
            self._ends_of_pages.clear()
            return worked
        for partition in ready:
            await partition.failures.ready()
        if self._together and (alone := [one for one in ready if one.failures.alone]):
            ready = [min(alone, key=_first_queued)]
        async with self._alone(ready):
            if not self._place.leasing.valid:
                await self._place.leasing.until_valid()
            self.busy = True
            try:
                await self._work(ready)
            finally:
                self.busy = False
                self._place.advanced()
        return True

    def _alone(self, partitions: Sequence[Partition]) -> AbstractAsyncContextManager[None]:
        """Wait until no other event is tried alone in this process, if one is to be now.

        Else a worker that dies over one event would have died over whatever is slow beside it,
        again and again.
        """
        if any(one.failures.alone for one in partitions):
            return self._place.leasing.alone
        return nullcontext()

    async def _rest(self) -> None:
        """Wait for something to do."""
        due = [
            at
            for one in self.partitions
            if not one.leaving and not one.storing  # It is woken when that is stored.
            for at in (one.failures.due_at, self._gathering.due_at(one))
            if at is not None
        ]
        if not due:
            await self._woken.wait()
            return
        clock = self._place.clock
        sleeping = asyncio.ensure_future(clock.sleep(min(due) - clock.monotonic()))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    # ------------------------------------------------------------------------- a batch

    async def _work(self, partitions: Sequence[Partition]) -> None:
        begun = time.monotonic()
        upto = self._upto()
        failed: list[_Failed] = []
        batches: list[tuple[Partition, Batch]] = []
        guards, awaited = self._place.control.guards, self._place.progress.awaited
        for partition in partitions:
            if partition.leaving or partition.storing:
                continue  # Since it was looked at.
            limit = 1 if partition.failures.alone else self.events
            self._gathering.has_begun(partition)
            batch = partition.take(limit, upto=upto, guards=guards)
            if batch is not None:
                batches.append((partition, batch))
            elif partition.faulted:
                failed.append((partition, partition.faulted, partition.fault))
        idle: list[Partition] = []
        if self._together and batches and awaited is not None:
            idle = [one for one in self.partitions if one.is_awaited(awaited)]
        for one in idle:
            one.storing = True
            batches.append((one, one.idle_move(guards)))
        reach("batch-taken")
        try:
            failed += await self._hand_over(await self._to_be_handed(batches))
        finally:
            for partition, _ in batches:
                partition.settle()
            for one in idle:
                one.storing = False
        events = sum(len(batch.arrivals) for _, batch in batches)
        self._adapt(events, time.monotonic() - begun)
        for partition, arrivals, error in sorted(failed, key=_position_of):
            await self._settling.settle(partition, arrivals, error)

    def _upto(self) -> int | None:
        """Return the end of the pages that are worked now, as many as one batch may hold."""
        if not self._together:
            return None
        ends, upto, events = self._ends_of_pages, None, 0
        while ends and (upto is None or events + ends[0][1] <= self.events):
            upto = max(upto or 0, ends[0][0])
            events += ends.popleft()[1]
        return upto

    def _adapt(self, events: int, seconds: float) -> None:
        if not self._adapts:
            return
        target = self._place.flight.flow.batch_seconds
        if seconds > target:
            self.events = max(1, self.events // 2)
        elif 2 * seconds < target and events >= self.events:
            self.events = min(2 * self.events, self._events_max)

    async def _to_be_handed(
        self, batches: list[tuple[Partition, Batch]]
    ) -> list[tuple[Partition, Batch]]:
        """Commit what only waits; return the batches with events that may be handed over now."""
        handed: list[tuple[Partition, Batch]] = []
        shared = self._together and any(batch.arrivals for _, batch in batches)
        for partition, batch in batches:
            if not batch.arrivals and not shared:
                await self._settling.commit(batch.advance(Worked(0)))
                partition.stored = batch.reached(Worked(0))
            elif partition.failures.alone and batch.arrivals:
                resolution = await partition.failures.before_alone(batch)
                if resolution is None:
                    handed.append((partition, batch))
                else:
                    await self._settling.carry_out(partition, batch.arrivals, resolution)
            else:
                handed.append((partition, batch))
        return handed

    async def _hand_over(
        self, batches: Sequence[tuple[Partition, Batch]], *, again: bool = False
    ) -> list[_Failed]:
        """Have the consumer work *batches*, *again* if due; return the stored events that failed.

        Raises what is no event's fault; then all others are done, too.
        """
        if not batches:
            return []
        consumer = self._place.consumer
        await consumer.prepare([a for _, batch in batches for a in batch.arrivals])
        outcomes = await consumer.work([batch for _, batch in batches])
        reach("batch-worked")
        failed: list[_Failed] = []
        refused: list[tuple[Partition, Batch]] = []
        trouble: BaseException | None = None
        for (partition, batch), outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, Worked):
                partition.stored = batch.reached(outcome)
                if outcome.done:
                    self._place.condition.has_done(outcome.done)
                    if not again:
                        partition.failures.passed(batch, outcome.done)
                if isinstance(outcome.failure, PASSING):
                    trouble = trouble or outcome.failure
                elif outcome.failure is not None:
                    failed.append((partition, _group(batch, outcome.done), outcome.failure))
            elif not isinstance(outcome, Exception) or not lies_in_an_event(outcome):
                trouble = trouble or outcome
            elif batch.single and sum(other is outcome for other in outcomes) == 1:
                failed.append((partition, batch.arrivals, outcome))
            else:
                # Refused for one event of the batch, or of those it shares the commit with.
                refused.append((partition, batch))
        if trouble is not None:
            raise trouble
        return failed + await self._hand_over_singly(refused, again=again)

    async def _hand_over_singly(
        self, refused: Sequence[tuple[Partition, Batch]], *, again: bool
    ) -> list[_Failed]:
        """Find the events for whose fault batches were refused together, in the log's order.

        In each partition, what comes before the one that fails is done.
        """
        failed: dict[int, _Failed] = {}
        singles = [(partition, one) for partition, batch in refused for one in batch.singly()]
        for partition, single in sorted(singles, key=_first_position):
            if partition.number not in failed:
                for each in await self._hand_over(((partition, single),), again=again):
                    failed[partition.number] = each
        return list(failed.values())

    # ---------------------------------------------------------------------- what is due

    async def _work_due(self, partition: Partition) -> bool:
        """Redeliver what is due, and carry out what operators ask for; return whether it was."""
        due_at, clock = partition.failures.due_at, self._place.clock
        if due_at is None or due_at > clock.monotonic():
            return False

        async def work(batch: Batch) -> Outcome:
            # Somebody may just have corrected the event: what is done outside must not be done
            # once more because the commit is refused for that.
            await self._place.control.check_unchanged()
            failed = await self._hand_over(((partition, batch),), again=True)
            if failed:
                _, arrivals, error = failed[0]
                return Worked(list(batch.arrivals).index(arrivals[0]), error)
            return Worked(len(batch.arrivals))

        async with self._alone((partition,)):
            if not self._place.leasing.valid:
                await self._place.leasing.until_valid()
            if partition.leaving or partition.storing:
                return False
            self.busy = partition.storing = True
            try:
                resolution = await partition.failures.work_due(partition.stored, work)
                partition.blocked = None
            finally:
                self.busy = partition.storing = False
                self._place.advanced()
        if isinstance(resolution, Suspend):
            self._place.condition.suspend(resolution.why)
        elif isinstance(resolution, Stop):
            raise self._place.stopped(resolution)
        return True


def _group(batch: Batch, at: int) -> Sequence[Arrival]:
    """Return the arrivals of *batch* that were made of the same stored event as that at *at*."""
    position = batch.arrivals[at].stored.position
    return [one for one in batch.arrivals if one.stored.position == position]


def _first_queued(partition: Partition) -> int:
    return partition.queue[0].stored.position


def _first_position(handed: tuple[Partition, Batch]) -> int:
    return handed[1].arrivals[0].stored.position


def _position_of(failed: _Failed) -> int:
    return failed[1][0].stored.position
