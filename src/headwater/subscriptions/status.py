"""What is known of a subscription: by the process that runs it, or by its storage alone."""

from enum import Enum

import msgspec


class SubscriptionState(Enum):
    """What a subscription is doing.

    WAITING: there are events, or there can be, that this process does not know; they are left
    for a worker that does. SUSPENDED: what its handler needs is away, as a circuit breaker says;
    it probes now and then. PAUSED: an operator wants so. RETIRED: a newer generation has taken
    over. STALLED: it is behind, and has come no further for its limit. UNATTENDED, known from the
    storage only: no worker that is alive has any of its partitions.
    """

    STARTING = "starting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    WAITING = "waiting"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    RETIRED = "retired"
    STALLED = "stalled"
    UNATTENDED = "unattended"
    STOPPED = "stopped"
    FAILED = "failed"


class HeldCounts(msgspec.Struct, frozen=True):
    """How many deliveries a subscription holds: `delayed` ones are tried again by themselves,
    `dead` ones wait for an operator, `waiting` ones for an earlier event of their key.

    `parked_keys` are the keys whose events wait behind a dead one.
    """

    delayed: int = 0
    waiting: int = 0
    dead: int = 0
    parked_keys: int = 0

    def __add__(self, other: "HeldCounts") -> "HeldCounts":
        return HeldCounts(
            self.delayed + other.delayed,
            self.waiting + other.waiting,
            self.dead + other.dead,
            self.parked_keys + other.parked_keys,
        )


class SubscriptionStatus(msgspec.Struct, frozen=True):
    """One look at a subscription.

    `position` is how far it has come with everything before it committed, `head` the end of
    the log when it last looked. `error` and `failed_at` (a position) are set when it FAILED;
    `error` alone says what it waits for when it is WAITING, SUSPENDED or PAUSED, and the likely
    cause when it is STALLED or UNATTENDED; and while it tries again, what may pass by itself,
    such as a server that is away.

    `checkpoints` and `owners` (the names of workers, None: nobody) are by partition.
    `lag_seconds` is how long the oldest event past `position` has been there, None if nobody
    looked. `events_done` and `retries` count since the process that runs it started it, and
    `events_per_second` is its rate of late; they are 0 where the storage alone was asked.
    """

    name: str
    state: SubscriptionState
    position: int
    head: int
    checkpoints: tuple[int, ...] = ()
    error: str | None = None
    failed_at: int | None = None
    owners: tuple[str | None, ...] = ()
    lag_seconds: float | None = None
    events_done: int = 0
    events_per_second: float = 0.0
    retries: int = 0
    held: HeldCounts = HeldCounts()

    @property
    def lag_events(self) -> int:
        """How many positions it is behind."""
        return max(0, self.head - self.position)

    @property
    def healthy(self) -> bool:
        """Whether nobody has to look after it: it works, or stands still because it should."""
        return self.state not in _UNHEALTHY and not self.held.dead


_UNHEALTHY = frozenset(
    {
        SubscriptionState.FAILED,
        SubscriptionState.STALLED,
        SubscriptionState.STOPPED,
        SubscriptionState.UNATTENDED,
    }
)
