"""How many events a second were done of late."""

import math
import time
from typing import Final

RATE_SECONDS: Final = 10.0
"""Over which time a rate is averaged: what lies so far back counts for a third."""


class Rate:
    """A mean that forgets exponentially; it costs a few operations per batch."""

    def __init__(self) -> None:
        self._begun = self._at = time.monotonic()
        self._sum = 0.0

    def add(self, events: int) -> None:
        """Note that *events* were done right now."""
        self._decay()
        self._sum += events

    @property
    def per_second(self) -> float:
        """Events per second; of the time since the beginning, where that is short."""
        self._decay()
        known = RATE_SECONDS * -math.expm1((self._begun - self._at) / RATE_SECONDS)
        return self._sum / known if known > 0 else 0.0

    def _decay(self) -> None:
        now = time.monotonic()
        self._sum *= math.exp((self._at - now) / RATE_SECONDS)
        self._at = now
