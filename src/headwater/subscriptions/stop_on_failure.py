"""What a projection does with an event that fails, unless it is told otherwise: it stops."""

from collections.abc import Sequence

from headwater.ports.leases import Checkpoint, Lease
from headwater.subscriptions.failure import Resolution, Stop, Suspend, Work
from headwater.subscriptions.status import HeldCounts
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack


class StopOnFailure:
    """Holds nothing back and stops at the first event that fails: a row that skipped an event
    would be a lie."""

    alone = False
    due_at = None

    async def load(self, lease: Lease) -> None:
        """Nothing is kept."""

    def leave(self) -> None:
        """Nothing is kept."""

    async def ready(self) -> None:
        """Nothing is ever suspended."""

    def holds(self, key: str) -> bool:
        """No key waits."""
        return False

    def hold_back(self, arrivals: Sequence[Arrival]) -> HeldBack:
        """Never called, as no key waits."""
        raise AssertionError("no key waits here, so nothing can wait behind one")

    async def resolve(self, arrivals: Sequence[Arrival], error: Exception) -> Resolution:
        """Stop."""
        return Stop(error, arrivals[0].stored.position)

    def passed(self, batch: Batch, done: int) -> None:
        """Nothing is kept."""

    async def before_alone(self, batch: Batch) -> Resolution | None:
        """Nothing is tried alone."""
        return None

    async def work_due(self, at: Checkpoint, work: Work) -> Suspend | Stop | None:
        """Nothing is due."""
        return None

    def parked(self, position: int) -> Sequence[str]:
        """No key is parked."""
        return ()

    def pending(self, position: int) -> bool:
        """Nothing is tried again."""
        return False

    def counts(self) -> HeldCounts:
        """Nothing is held."""
        return HeldCounts()
