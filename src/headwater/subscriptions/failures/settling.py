"""Settles held deliveries that are over, and gives the next one of the key its turn."""

from collections.abc import Sequence

from msgspec.structs import replace

from headwater.operations.dead_letters.audit import WORKER
from headwater.operations.dead_letters.deliveries import (
    DeliveryState,
    delivery_gone,
    delivery_row,
)
from headwater.ports.changes import RowChange
from headwater.ports.leases import Checkpoint
from headwater.subscriptions.failures.held_keys import Held, HeldKeys
from headwater.subscriptions.failures.keeping import Keeping
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.failures.ruling import worker_audit


class Settling:
    """Keeps rows and memory of one partition together when a delivery goes."""

    def __init__(self, means: Means, *, keeping: Keeping, keys: HeldKeys) -> None:
        self._means, self._keeping, self._keys = means, keeping, keys

    async def settle(self, held: Held, at: Checkpoint, beside: Sequence[RowChange]) -> None:
        """Commit, with *beside*, that *held* is over without having been handed over."""
        following = self.following(held)
        rows = (delivery_gone(held.id), *self.row_of(following), *beside)
        await self._keeping.commit(at, rows)
        self.settled(held, following)

    def settled(self, held: Held, following: Held | None) -> None:
        """Note that it is committed that *held* is over and *following* has its turn."""
        self._keys.remove(held.id)
        if following is not None:
            self._keys.put(following)
        self._means.asking.done(held.id)

    def following(self, held: Held) -> Held | None:
        """Return who has its turn when *held* goes, as it is then; None if nobody waits for it."""
        following = self._keys.next_after(held)
        if following is None or following.state is not DeliveryState.WAITING:
            return None
        return replace(following, state=DeliveryState.READY, due_at=self._means.now())

    def row_of(self, following: Held | None) -> tuple[RowChange, ...]:
        """Return what writes that *following* has its turn."""
        return () if following is None else (delivery_row(following.row(self._means.name)),)

    def audit(self, held: Held, action: str, *, reason: str = "", by: str = WORKER) -> RowChange:
        """Return what writes into the audit what was done with *held*."""
        record = held.row(self._means.name)
        return worker_audit(self._means, record, action, reason=reason, by=by)
