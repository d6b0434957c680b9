"""What is known of a running subscription."""

from enum import Enum

import msgspec


class SubscriptionState(Enum):
    """What a subscription is doing.

    WAITING: there are events, or there can be, that this process does not know; they are left
    for a worker that does.
    """

    STARTING = "starting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    WAITING = "waiting"
    STOPPED = "stopped"
    FAILED = "failed"


class SubscriptionStatus(msgspec.Struct, frozen=True):
    """One look at a subscription.

    `position` is how far it has come with everything before it committed, `head` the end of
    the log when it last looked. `error` and `failed_at` (a position) are set when it FAILED;
    `error` alone while it is WAITING: for which types; or while it tries again what may pass by
    itself, such as a server that is away.
    """

    name: str
    state: SubscriptionState
    position: int
    head: int
    checkpoints: tuple[int, ...] = ()
    error: str | None = None
    failed_at: int | None = None

    @property
    def lag_events(self) -> int:
        """How many positions it is behind."""
        return max(0, self.head - self.position)
