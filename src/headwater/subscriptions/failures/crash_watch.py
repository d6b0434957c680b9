"""The watch over crashes: which event a worker may have died over, and how often it did."""

from typing import Final

from headwater.operations.dead_letters.suspects import Suspect
from headwater.ports.leases import Lease

DIED_ALONE_MAX: Final = 3
"""How often workers may die while they handle one event alone; then it is parked."""

ALONE_EVENTS_MAX: Final = 256
"""How many events are tried alone after a worker has died. If it had more of them in hand, the
next worker that dies over one of those leads further on."""


class CrashWatch:
    """Watches one partition, under one lease. Nothing is written unless a worker has died."""

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription
        self._left = 0
        self._suspect: Suspect | None = None
        self._partition = 0

    def begin(self, lease: Lease, suspect: Suspect | None) -> None:
        """Begin with what is stored of the partition's suspect."""
        self._partition, self._suspect = lease.partition, suspect
        if suspect is not None and not lease.unclean:
            # Whoever had begun it last has given the lease back: it was alive.
            alive = suspect.begun - 1
            self._suspect = _with(suspect, alive) if alive else None
        suspected = self._suspect is not None
        self._left = ALONE_EVENTS_MAX if lease.unclean else int(suspected)

    @property
    def alone(self) -> bool:
        """Whether the next event has to be tried alone."""
        return self._left > 0

    def died(self, position: int, delivery: str = "") -> int:
        """Return how often workers have died over this event alone."""
        suspect = self._suspect
        same = suspect is not None and (suspect.position, suspect.delivery) == (position, delivery)
        return suspect.begun if suspect is not None and same else 0

    def trying(self, position: int, delivery: str = "") -> Suspect:
        """Return what has to be stored before this event is tried alone."""
        begun = self.died(position, delivery) + 1
        self._suspect = Suspect(self._subscription, self._partition, position, begun, delivery)
        return self._suspect

    def survived(self, events: int = 1) -> None:
        """Note that so many events were tried, and that the worker is alive."""
        if self._left:
            self._left = max(0, self._left - events)
            self._suspect = None

    def acquit(self) -> None:
        """Forget the suspect: what is to become of it is settled."""
        self._suspect = None


def _with(suspect: Suspect, begun: int) -> Suspect:
    return Suspect(
        suspect.subscription, suspect.partition, suspect.position, begun, suspect.delivery
    )
