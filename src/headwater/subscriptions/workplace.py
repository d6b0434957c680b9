"""What the reader and the lanes of one subscription share while they work."""

from collections.abc import Awaitable, Callable

import msgspec

from headwater.clock import Clock
from headwater.errors import SubscriptionFailedError
from headwater.ports.storage import Storage
from headwater.subscriptions.condition import Condition
from headwater.subscriptions.control import ControlRow
from headwater.subscriptions.failure import Stop
from headwater.subscriptions.failures.overrides import Overrides
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.partitions import InFlight
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription


class Workplace(msgspec.Struct, frozen=True):
    """The subscription, who consumes it, where, and what must hold for it.

    `advanced` is to be called whenever a partition has come further, or has room again; `look`
    looks where partitions stand that other processes work; `control_changed` is to be called after
    a commit was refused because of the control row. `overrides` are read in the place of events.
    """

    subscription: Subscription
    consumer: Consumer
    target: Storage
    control: ControlRow
    clock: Clock
    leasing: Leasing
    condition: Condition
    progress: Progress
    flight: InFlight
    advanced: Callable[[], None]
    look: Callable[[], Awaitable[None]]
    control_changed: Callable[[], Awaitable[None]]
    overrides: Overrides

    def failure(self, arrival: Arrival, error: Exception) -> SubscriptionFailedError:
        """Return what the subscription stops with because *arrival* failed with *error*."""
        stored = arrival.stored
        where = f" (event {stored.type} of {stored.stream_id})"
        return self.stopped(Stop(error, stored.position), where)

    def stopped(self, stop: Stop, where: str = "") -> SubscriptionFailedError:
        """Return what the subscription stops with."""
        problem = f"{type(stop.error).__name__}: {str(stop.error).rstrip('.')}{where}"
        failure = SubscriptionFailedError(
            self.subscription.name, position=stop.position, problem=problem
        )
        failure.__cause__ = stop.error
        return failure
