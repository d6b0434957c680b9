"""What the partitions of one subscription share to handle failures, in this process."""

import asyncio
from collections.abc import Sequence
from typing import Final

from headwater.clock import Clock, microseconds_since_epoch
from headwater.operations.dead_letters.audit import AUDIT
from headwater.operations.dead_letters.deliveries import DELIVERIES
from headwater.operations.dead_letters.requests import REQUESTS
from headwater.operations.dead_letters.suspects import SUSPECTS
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.failures.asking import Asking
from headwater.subscriptions.failures.overrides import Overrides
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.failures.redelivery import Redelivery
from headwater.subscriptions.failures.suspension import Suspended, Suspension
from headwater.subscriptions.subscription import Consumer, Subscription

COLLECTIONS: Final = (DELIVERIES, REQUESTS, SUSPECTS, AUDIT)
"""Where held deliveries, and what belongs to them, are kept."""


class Means:
    """The policy, the storages, and what all partitions wait for together."""

    def __init__(
        self,
        subscription: Subscription,
        consumer: Consumer,
        *,
        policy: FailurePolicy,
        log: Log,
        target: Storage,
        codec: EventCodec,
        clock: Clock,
        breakers: Sequence[CircuitBreaker],
        code: str,
    ) -> None:
        self.name, self.policy, self.code = subscription.name, policy, code
        # What is pure and stops anyway wins nothing by trying events alone.
        self.watches_crashes = not (consumer.together and policy.stops_at_once)
        self.target, self.codec, self.clock = target, codec, clock
        self.overrides = Overrides(subscription.name, target)
        self.redelivery = Redelivery(
            subscription, consumer, log=log, codec=codec, overrides=self.overrides
        )
        self.suspension = Suspension(breakers, clock)
        self.asking = Asking(subscription.name, target, clock)
        self.lanes: dict[Suspended, None] = {}
        self._prepared = False
        self._preparing = asyncio.Lock()

    async def prepare(self) -> None:
        """Make room in the storage; again, it does nothing."""
        async with self._preparing:
            if not self._prepared:
                await self.target.prepare_collections(COLLECTIONS)
                self._prepared = True

    def now(self) -> int:
        """Return the clock's time in microseconds since 1970 UTC."""
        return microseconds_since_epoch(self.clock.now())

    def join(self, lane: Suspended) -> None:
        """Take in a partition that is leased."""
        self.lanes[lane] = None
        self.suspension.join(lane)

    def leave(self, lane: Suspended) -> None:
        """Let a partition go."""
        self.lanes.pop(lane, None)
        self.suspension.leave(lane)
