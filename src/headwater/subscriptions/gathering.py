"""Gathering: events wait for more of their partition, where their handler takes lists."""

from typing import Final

from headwater.clock import Clock
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.partitions import InFlight, Partition
from headwater.subscriptions.progress import Progress


class Gathering:
    """Says which partitions of a lane have enough to hand over, or have waited long enough.

    While somebody waits for the subscription to come further, nothing waits for more; nor where
    no more comes, because there is no room for it, or because the subscription is to stop.
    """

    def __init__(
        self, batching: Batching | None, *, clock: Clock, progress: Progress, flight: InFlight
    ) -> None:
        self._wait = batching.wait_seconds if batching is not None else 0.0
        self._clock, self._progress, self._flight = clock, progress, flight
        self.stop_at: int | None = None
        self._since: dict[int, float] = {}
        self.size: Final = batching.size if batching is not None else 1
        """How many events there are to be."""

    def is_ready(self, partition: Partition) -> bool:
        """Return whether *partition*, which has events, is to go on with them now."""
        if not self._wait:
            return True
        since = self._since.setdefault(partition.number, self._clock.monotonic())
        return (
            len(partition.queue) >= self.size
            or partition.failures.alone
            or bool(partition.faulted)
            or self._progress.awaited is not None
            or partition.left_behind
            or not self._flight.half_empty
            or (self.stop_at is not None and partition.dealt_to.position >= self.stop_at)
            or since + self._wait <= self._clock.monotonic()
        )

    def has_begun(self, partition: Partition) -> None:
        """Note that *partition* goes on: what is left of its events begins to wait then."""
        self._since.pop(partition.number, None)

    def due_at(self, partition: Partition) -> float | None:
        """Return the clock's monotonic time until which *partition* waits; None: it does not."""
        since = self._since.get(partition.number)
        return None if since is None or not partition.queue else since + self._wait
