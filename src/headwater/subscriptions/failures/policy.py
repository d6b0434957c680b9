"""What a subscription wants done with events that fail."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

from headwater.clock import Duration, seconds_of
from headwater.errors import ConfigurationError

WAITING_MAX: Final = 10_000
"""How many events may wait behind held keys of one partition, unless a policy says otherwise."""

DELAYS_MAX: Final = 20
"""The most delays that one policy may have."""

DELAY_SECONDS_MAX: Final = 366 * 86_400.0
"""The longest delay: a year."""


class OnFailure(Enum):
    """What becomes of an event that has failed for good.

    PARK_KEY: it is a dead letter, and later events of its key wait behind it in order. PARK_EVENT:
    it is a dead letter, and its key goes on. STOP: the subscription stops.
    """

    PARK_KEY = "park_key"
    PARK_EVENT = "park_event"
    STOP = "stop"


class FailurePolicy(msgspec.Struct, frozen=True):
    """How often and when a failed event is tried again, and what then.

    `delays` are the seconds before each further attempt; meanwhile its key waits, and others go
    on. `waiting_max` is how many events may wait behind the held keys of one partition.
    """

    delays: tuple[float, ...] = ()
    then: OnFailure = OnFailure.PARK_KEY
    waiting_max: int = WAITING_MAX

    @property
    def stops_at_once(self) -> bool:
        """Whether nothing that has failed is ever kept."""
        return self.then is OnFailure.STOP and not self.delays


def failure_policy(
    *,
    delayed: Sequence[Duration] = (),
    then: OnFailure = OnFailure.PARK_KEY,
    waiting_max: int = WAITING_MAX,
) -> FailurePolicy:
    """Return a policy of *delayed*, seconds or timedeltas.

    Raises:
        ConfigurationError: there are more than `DELAYS_MAX` delays, one is not in
            0 … `DELAY_SECONDS_MAX` seconds, or *waiting_max* is below 1.
    """
    delays = tuple(map(seconds_of, delayed))
    if len(delays) > DELAYS_MAX:
        raise ConfigurationError(f"There can be {DELAYS_MAX} delays, not {len(delays)}.")
    for delay in delays:
        if not 0 <= delay <= DELAY_SECONDS_MAX:
            raise ConfigurationError(
                f"A delay is 0 to {DELAY_SECONDS_MAX:.0f} seconds, not {delay}."
            )
    if waiting_max < 1:
        raise ConfigurationError(f"waiting_max is 1 or more, not {waiting_max}.")
    return FailurePolicy(delays, then, waiting_max)


STOP_AT_ONCE: Final = FailurePolicy(then=OnFailure.STOP)
"""What projections do unless told otherwise: a row that skipped an event is a lie."""
