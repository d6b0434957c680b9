"""Batch subscribers: handlers that get several events of one partition at once."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from headwater.errors import CallRejectedError
from headwater.resilience import Guard
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.handing_over import HandingOver
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, Batch, Worked
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units

HandleList = Callable[[Sequence[Arrival]], Awaitable[object]]
"""A compiled handler; it handles several events at once within the current unit of work."""

_Group = Sequence[Arrival]


class BatchSubscriberConsumer(SubscriberConsumer):
    """Hands lists of events to a handler, each list within a unit of work of its own.

    A list that fails is split in halves, each handed over on its own, until the event that fails
    stands alone; what comes before it is done. Only what a policy did not let through at all is
    not split. What upcasters made of one stored event stays in one list.
    """

    def __init__(
        self,
        subscription: str,
        handle: HandleList,
        *,
        units: Units,
        batching: Batching,
        key_of: Callable[[Arrival], str] | None = None,
        policy: Guard | None = None,
    ) -> None:
        """Hand over `Batching.size` stored events at most, each list under *policy*."""
        super().__init__(
            subscription, lambda arrival: handle((arrival,)), units=units, key_of=key_of
        )
        self.policy = policy
        self.hand_over = HandingOver(subscription, handle, policy=policy, clock=units.clock)
        self._size = batching.size

    async def hand_over_all(self, batch: Batch, unit: UnitOfWork) -> Worked:
        done = 0
        for groups in _slices(list(batch.groups()), self._size):
            worked = await self._hand_over_list(groups, unit, before=0)
            done += worked.done
            if worked.failure is not None:
                return Worked(done, worked.failure)
        return Worked(done)

    async def _hand_over_list(
        self, groups: Sequence[_Group], unit: UnitOfWork, *, before: int
    ) -> Worked:
        arrivals = [arrival for group in groups for arrival in group]
        failure = await self.failure_of(arrivals, unit, before=before)
        if failure is None:
            return Worked(len(arrivals))
        if len(groups) == 1 or isinstance(failure, CallRejectedError):
            return Worked(0, failure)
        middle = len(groups) // 2
        before = arrivals[0].tried - arrivals[0].attempts
        first = await self._hand_over_list(groups[:middle], unit, before=before)
        if first.failure is not None:
            return first
        second = await self._hand_over_list(groups[middle:], unit, before=before)
        return Worked(first.done + second.done, second.failure)


def _slices(groups: Sequence[_Group], size: int) -> Iterator[Sequence[_Group]]:
    for begun in range(0, len(groups), size):
        yield groups[begun : begun + size]
