"""The handling of failures of one subscription in this process."""

from collections.abc import Sequence

from headwater.clock import Clock
from headwater.operations.dead_letters.deliveries import HeldDelivery
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.failure import Charge
from headwater.subscriptions.failures.held_keys import Held
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.failures.overrides import Overrides
from headwater.subscriptions.failures.partition import PartitionFailures
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.failures.redelivery import Again
from headwater.subscriptions.subscription import Consumer, Subscription


class FailureHandling:
    """Makes the `Failures` of partitions: it is a `FailuresOf`."""

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
        breakers: Sequence[CircuitBreaker] = (),
        code: str = "",
    ) -> None:
        """Keep what is held in *target*, beside the checkpoints.

        *breakers* are those around the handler; *code* is the version of the code, for people.
        """
        self._means = Means(
            subscription,
            consumer,
            policy=policy,
            log=log,
            target=target,
            codec=codec,
            clock=clock,
            breakers=breakers,
            code=code,
        )

    def __call__(self, charge: Charge) -> PartitionFailures:
        """Return what handles the failures of a partition."""
        return PartitionFailures(charge, self._means)

    @property
    def overrides(self) -> Overrides:
        """What the subscription reads in the place of stored events."""
        return self._means.overrides

    async def again(self, delivery: HeldDelivery, *, data: str | None = None) -> Again:
        """Return what would be handed over for *delivery* now, with *data* in the place of its
        own if that is given."""
        return await self._means.redelivery.of(Held.of(delivery), data=data)

    def asked(self) -> None:
        """Look at once for what operators ask for."""
        self._means.asking.look_again()
        for lane in self._means.lanes:
            lane.wake()
