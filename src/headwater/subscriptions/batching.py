"""How many events a handler of lists gets at once, and how long it waits for them."""

from typing import Final

import msgspec

from headwater.clock import Duration, seconds_of
from headwater.errors import ConfigurationError

BATCH_EVENTS_MAX: Final = 10_000
"""The most events that a handler may be handed at once."""

BATCH_WAIT_SECONDS_MAX: Final = 60.0
"""The longest wait for events to fill a batch."""


class Batching(msgspec.Struct, frozen=True):
    """At most *size* events of one partition at once.

    Where fewer are there, the first of them waits for more, at most for *wait* (seconds or
    timedelta) after it was read.

    Raises:
        ConfigurationError: *size* is outside 1 … `BATCH_EVENTS_MAX`, or *wait* outside
            0 … `BATCH_WAIT_SECONDS_MAX`.
    """

    size: int = 100
    wait: Duration = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= BATCH_EVENTS_MAX:
            raise ConfigurationError(
                f"A batch has 1 to {BATCH_EVENTS_MAX} events, not {self.size} (size)."
            )
        if not 0 <= self.wait_seconds <= BATCH_WAIT_SECONDS_MAX:
            raise ConfigurationError(
                f"A batch waits for 0 to {BATCH_WAIT_SECONDS_MAX:g} seconds, not "
                f"{self.wait_seconds:g} (wait)."
            )

    @property
    def wait_seconds(self) -> float:
        """The wait in seconds."""
        return seconds_of(self.wait)
