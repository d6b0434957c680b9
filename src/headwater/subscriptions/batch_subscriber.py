"""Batch subscribers: handlers that get several events of one partition at once."""

from collections.abc import Awaitable, Callable, Sequence

from headwater.errors import CallRejectedError
from headwater.resilience import BreakerState, Guard, Policy
from headwater.resilience.failures import leaves_of
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.faults import PASSING
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
    not split. While a circuit breaker is not closed, events are handed over one at a time. To it
    a list and its parts are tries at one thing. What upcasters made of one stored event stays in
    one list.
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
        self._breakers = Policy(policy).breakers if policy is not None else ()
        self._rejected = False

    async def hand_over_all(self, batch: Batch, unit: UnitOfWork) -> Worked:
        groups, done = list(batch.groups()), 0
        while groups:
            # Whether what the handler needs is there again must not depend on one event of many.
            size = 1 if self._something_is_away else self._size
            listed, groups = groups[:size], groups[size:]
            worked = await self._hand_over_list(listed, unit, before=0, of=None)
            done += worked.done
            if worked.failure is not None:
                return Worked(done, worked.failure)
        return Worked(done)

    async def _hand_over_list(
        self,
        groups: Sequence[_Group],
        unit: UnitOfWork,
        *,
        before: int,
        of: Sequence[Arrival] | None,
    ) -> Worked:
        """Hand over *groups* at once, a part *of* a list that failed if so; split what fails."""
        arrivals = [arrival for group in groups for arrival in group]
        failure = await self.failure_of(arrivals, unit, before=before, of=of)
        if failure is None:
            self._rejected = False
            return Worked(len(arrivals))
        rejected = any(isinstance(one, CallRejectedError) for one in leaves_of(failure))
        self._rejected |= rejected
        if len(groups) == 1 or rejected or isinstance(failure, PASSING):
            return Worked(0, failure)
        middle, whole = len(groups) // 2, of or arrivals
        before = arrivals[0].tried - arrivals[0].attempts
        first = await self._hand_over_list(groups[:middle], unit, before=before, of=whole)
        if first.failure is not None:
            return first
        second = await self._hand_over_list(groups[middle:], unit, before=before, of=whole)
        return Worked(first.done + second.done, second.failure)

    @property
    def _something_is_away(self) -> bool:
        """Whether a breaker is not closed; of one that is not the policy's, only calls tell."""
        return self._rejected or any(
            breaker.state is not BreakerState.CLOSED for breaker in self._breakers
        )
