"""A session: one worker's reader and lanes at work, for as long as nothing changes around them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from headwater.errors import (
    CheckpointConflictError,
    ConflictError,
    HandlerCancelledError,
    LeaseLostError,
    RowConflictError,
    SubscriptionFailedError,
)
from headwater.ports.changes import Changes
from headwater.ports.leases import Checkpoint, Lease, Share
from headwater.ports.log import Log
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.control import is_of_control_row
from headwater.subscriptions.cursor import Cursor, position_of
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.failure import Charge, Failures
from headwater.subscriptions.faults import PASSING
from headwater.subscriptions.lanes import Lane
from headwater.subscriptions.partitions import Partition
from headwater.subscriptions.reader import Reader
from headwater.subscriptions.subscription import Worked
from headwater.subscriptions.workplace import Workplace

IDLE_SECONDS: Final = 1.0
"""How far behind, in time, the stored checkpoint of a partition without events may be."""

ARRIVED_SECONDS: Final = 0.1
"""How often a worker that stands where it was told to stop looks whether all others do."""

_log = logging.getLogger("headwater")


class Session:
    """Works the partitions that are leased; ends when one is lost, or something goes wrong.

    Its control row, the number of partitions and the checkpoints are as they were at its begin;
    where one of them has changed, it ends, and another one begins.
    """

    def __init__(
        self,
        place: Workplace,
        share: Share,
        checkpoints: Sequence[Checkpoint],
        *,
        log: Log,
        codec: EventCodec,
        cursor: Cursor,
        failures: Callable[[Charge], Failures],
    ) -> None:
        """Begin with the leases of *share*, from *checkpoints*, read after it was leased."""
        self._place, self._failures = place, failures
        self._together = place.consumer.together
        self.partitions: dict[int, Partition] = {}
        self._lanes: dict[int, Lane] = {}
        self._count = len(checkpoints)
        self._begun, self._fair = False, share.fair
        self._tasks: dict[asyncio.Task[None], Callable[[], bool]] = {}
        self._trouble: BaseException | None = None
        self._gives_up = False
        self._ended = asyncio.Event()
        self._store_now = asyncio.Event()
        self._is_storing = False
        self._reader = Reader(
            place,
            log=log,
            codec=codec,
            cursor=cursor,
            count=len(checkpoints),
            partitions=self.partitions,
            dealt=self._dealt,
        )
        for lease in share.leases:
            if lease.partition < len(checkpoints):
                checkpoint = checkpoints[lease.partition]
                self._gain(msgspec.structs.replace(lease, checkpoint=checkpoint))

    @property
    def read_to(self) -> Checkpoint:
        """The furthest place to which events were dealt."""
        places = [one.dealt_to for one in self.partitions.values()]
        return max(places, key=position_of, default=Checkpoint(0))

    # ------------------------------------------------------------------ begin and end

    async def run(self) -> None:
        """Work until `end` and then finish what is in hand; store how far idle partitions are.

        Raises:
            SubscriptionFailedError: an event failed; what is in hand elsewhere was finished.
            LeaseLostError: a partition is another worker's now, or was reset.
            StorageError: see `Lane.run`.
        """
        self._begun = True
        self._spawn(self._reader.run(), lambda: False)
        self._spawn(self._keep(), lambda: self._is_storing)
        for lane in {*self._lanes.values()}:
            self._spawn(lane.run(), lane.is_busy)
        self._give_up_excess()
        try:
            await self._ended.wait()
            await self._finish()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            for partition in self.partitions.values():
                partition.failures.leave()
                partition.leaving = False
        if self._trouble is None or isinstance(self._trouble, SubscriptionFailedError):
            await self._store_last()
        if self._trouble is not None:
            raise self._trouble

    def end(self, *, give_up: bool = False) -> None:
        """Begin nothing more; and *give up* each partition as soon as nothing of it is in hand."""
        self._gives_up = self._gives_up or give_up
        self._ended.set()
        for lane in self._lanes.values():
            lane.end()

    async def control_changed(self) -> None:
        """Read the control row again; go on under it, or end if this worker may not do the same.

        Raises:
            StorageError: the storage can't be used.
        """
        if self._ended.is_set():
            return
        control = self._place.control
        before, guards = control.stored, control.guards
        await control.load()
        stops = not control.admits or control.stored.stop_at != before.stop_at
        if stops or control.stored.corrected != before.corrected:
            # What is still committed here was read under the row as it was, and is refused.
            control.guards = guards
            self.end(give_up=stops)

    def hear_control(self, row_version: int) -> None:
        """Hear at which version the control row stands."""
        if not self._ended.is_set() and row_version != self._place.control.stored.row_version:
            self._spawn(self.control_changed(), lambda: False)

    def _spawn(self, work: Coroutine[Any, Any, None], is_busy: Callable[[], bool]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = is_busy
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                self._fail(error)
        elif not self._ended.is_set():
            self._fail(HandlerCancelledError(self._place.subscription.name))

    def _fail(self, error: BaseException) -> None:
        self._trouble = self._trouble or error
        self.end()

    async def _finish(self) -> None:
        """Let lanes finish what they have in hand; end all others at once."""
        ending = [task for task, is_busy in self._tasks.items() if not is_busy()]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        if self._gives_up:
            await self._give_up_idle()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _give_up_idle(self) -> None:
        """Give up what nobody is at work on, before what is in hand elsewhere is finished."""
        await self._store_last()
        for number, partition in self.partitions.items():
            partition.leaving = not self._lane_of(number).busy
        self._part()

    # --------------------------------------------------------------------- partitions

    def hear_share(self, share: Share) -> None:
        """Take over what was gained, give up what is above the fair share; end if one is lost."""
        if self._ended.is_set():
            return
        if not self.partitions:
            # Whoever has none would not notice that there is another number of them by now.
            if share.leases:
                self.end()
            return
        leases = {lease.partition: lease for lease in share.leases}
        for number, partition in self.partitions.items():
            lease = leases.pop(number, None)
            if lease is None or lease.token != partition.token:
                self._fail(LeaseLostError(self._place.subscription.name, number))
                return
        self._fair = share.fair
        for lease in leases.values():
            self._gain(lease)
        if leases:
            self._reader.gained()
        self._give_up_excess()

    def hear_repartitioned(self) -> None:
        """Hear that there is another number of partitions: end, none of the leases counts."""
        if self.partitions:
            self._fail(LeaseLostError(self._place.subscription.name, min(self.partitions)))
        else:
            self.end()

    def _gain(self, lease: Lease) -> None:
        number = lease.partition
        name, place = self._place.subscription.name, self._place
        lane = self._lanes.get(0 if self._together else number)
        if lane is None:
            lane = Lane(place, together=self._together)
            self._lanes[0 if self._together else number] = lane
            if self._begun:
                self._spawn(lane.run(), lane.is_busy)
        charge = Charge(number, self._count, lambda: place.control.guards, lane.wake)
        partition = Partition(name, lease, self._failures(charge), place.flight)
        lane.partitions.append(partition)
        self.partitions[number] = partition

    def _give_up_excess(self) -> None:
        for place, partition in enumerate(sorted(self.partitions.values(), key=_leaves_last)):
            partition.leaving = place >= self._fair
        self._part()

    def _part(self) -> None:
        """Give up the partitions that are leaving and have nothing in hand."""
        for number, partition in tuple(self.partitions.items()):
            lane = self._lane_of(number)
            if not partition.leaving or lane.busy or partition.storing:
                continue
            partition.drop()
            partition.failures.leave()
            lane.partitions.remove(partition)
            del self.partitions[number]
            if not lane.partitions and not self._together:
                del self._lanes[number]
                lane.end()
            leasing = self._place.leasing
            leasing.give_up(self._place.subscription.name, number, partition.token)
            self._reader.has_room()

    # ----------------------------------------------------------------------- progress

    def _dealt(self, end: int, events: Mapping[Partition, int]) -> None:
        if self._together:
            lane = self._lanes.get(0)
            if lane is not None and events:
                lane.dealt(end, sum(events.values()))
        else:
            for partition, count in events.items():
                self._lanes[partition.number].dealt(end, count)
        self.look_who_waits()

    def advanced(self) -> None:
        """Hear that a lane has done something."""
        self._reader.has_room()
        self._part()
        self.look_who_waits()

    def look_who_waits(self) -> None:
        """Store at once how far idle partitions are, if somebody waits for just that."""
        awaited, no_more = self._place.progress.awaited, not self._place.flight.half_empty
        gathers = self._place.subscription.gather is not None
        if gathers and (awaited is not None or no_more or self._reader.stop_at is not None):
            for lane in self._lanes.values():
                lane.wake()
        if awaited is not None and any(one.is_awaited(awaited) for one in self.partitions.values()):
            self._store_now.set()

    async def _keep(self) -> None:
        """Store, now and then, how far partitions without events are."""
        stop_at = self._reader.stop_at
        while not self._ended.is_set():
            seconds = IDLE_SECONDS if stop_at is None else ARRIVED_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await self._store_now.wait()
            except TimeoutError:
                pass
            self._store_now.clear()
            self._is_storing = True
            try:
                await self._store_idle()
            except RowConflictError as error:
                if not is_of_control_row(error):
                    raise
                await self.control_changed()
            finally:
                self._is_storing = False
            if len(self.partitions) < self._count:
                await self._place.look()
            if stop_at is not None and await self._all_arrived(stop_at):
                self.end()

    async def _store_idle(self) -> None:
        """Store how far partitions are that have nothing to do, in one commit."""
        idle = [one for one in self.partitions.values() if one.is_behind]
        if not idle:
            return
        with self._storing(idle):
            guards = self._place.control.guards
            moves = [one.idle_move(guards) for one in idle]
            advances = [move.advance(Worked(0)) for move in moves]
            await self._place.target.commit(
                Changes(
                    guards=guards,
                    checkpoints=tuple(move for one in advances for move in one.checkpoints),
                )
            )
            reach("idle-stored")
            for one, move in zip(idle, moves, strict=True):
                one.stored = move.reached(Worked(0))
        self._place.advanced()

    def _storing(self, partitions: Sequence[Partition]) -> "_Storing":
        return _Storing(partitions, [self._lane_of(one.number) for one in partitions])

    def _lane_of(self, partition: int) -> Lane:
        return self._lanes[0 if self._together else partition]

    async def _all_arrived(self, position: int) -> bool:
        """Return whether all partitions, also those of other workers, have come so far."""
        if any(one.stored.position < position for one in self.partitions.values()):
            return False
        name = self._place.subscription.name
        states = await self._place.target.partition_states(name)
        return all(one.checkpoint.position >= position for one in states)

    async def _store_last(self) -> None:
        try:
            await self._store_idle()
        except (CheckpointConflictError, LeaseLostError, ConflictError):
            _log.debug("Subscription %r goes on elsewhere", self._place.subscription.name)
        except PASSING as error:
            # Nothing is lost: what had no effect is looked at again.
            name = self._place.subscription.name
            _log.warning("Subscription %r: its last place: %s", name, error)


class _Storing:
    """Keeps lanes from partitions while their checkpoints are moved."""

    def __init__(self, partitions: Sequence[Partition], lanes: Sequence[Lane]) -> None:
        self._partitions, self._lanes = partitions, lanes

    def __enter__(self) -> None:
        for partition in self._partitions:
            partition.storing = True

    def __exit__(self, *error: object) -> None:
        for partition in self._partitions:
            partition.storing = False
        for lane in self._lanes:
            lane.wake()


def _leaves_last(partition: Partition) -> tuple[bool, int]:
    """Sort those first that are to stay: others first that are leaving, then the highest."""
    return partition.leaving, partition.number
