"""Looks at what is held: all of it, by error and place, or one with all that belongs to it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from headwater.errors import DeliveryNotHeldError
from headwater.operations.dead_letters.audit import AUDIT, AuditEntry, audit_entry_of
from headwater.operations.dead_letters.correcting import event_at
from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_of,
)
from headwater.operations.dead_letters.grouping import Group, groups_of
from headwater.operations.dead_letters.overrides import (
    OVERRIDES,
    PayloadOverride,
    override_key,
    override_of,
)
from headwater.operations.dead_letters.requests import REQUESTS, DeliveryRequest, request_of
from headwater.operations.dead_letters.selecting import (
    DEAD_LETTERS,
    Selection,
    counted,
    selected,
)
from headwater.ports.log import Log, StoredEvent
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

HISTORY_MAX: Final = 1000
"""How many entries of the audit are shown unless told otherwise."""

_COLLECTIONS: Final = (DELIVERIES, REQUESTS, OVERRIDES, AUDIT)


class Shown(msgspec.Struct, frozen=True):
    """A held delivery and what belongs to it.

    `event` is None if it was erased. `override` is read in its place, `request` is what an
    operator has asked for and is not done yet; `waiting` is how many events wait behind it.
    """

    delivery: HeldDelivery
    event: StoredEvent | None
    override: PayloadOverride | None
    request: DeliveryRequest | None
    waiting: int


class HeldDeliveries:
    """What is held in *storage*, beside the checkpoints of its subscriptions; only to look at."""

    def __init__(self, storage: Storage, *, log: Log | None = None) -> None:
        """Read events from *log*, or from *storage*."""
        self._storage, self._log = storage, log or storage
        self._prepared = False

    # -------------------------------------------------------------------------- looking

    async def list(self, selection: Selection = DEAD_LETTERS) -> Sequence[HeldDelivery]:
        """Return what *selection* means, in the order of the log."""
        await self.prepare()
        return await selected(self._storage, selection)

    async def count(self, selection: Selection = DEAD_LETTERS) -> int:
        """Return how many *selection* means."""
        await self.prepare()
        return await counted(self._storage, selection)

    async def groups(self, selection: Selection = DEAD_LETTERS) -> Sequence[Group]:
        """Return what *selection* means by error and place, the most frequent first."""
        return groups_of(await self.list(selection))

    async def show(self, id: str) -> Shown:
        """Return the held delivery *id* with its event.

        Raises:
            DeliveryNotHeldError: none of that id is held.
        """
        held = await self.held(id)
        event = await event_at(self._log, held.position)
        if event is not None and not held.is_of(event.id):
            event = None
        request = (await self._storage.get_rows(REQUESTS.name, (id,))).get(id)
        behind = Selection(held.subscription, held.key, states=frozenset((DeliveryState.WAITING,)))
        return Shown(
            held,
            event,
            await self._override(held.subscription, held.position),
            request_of(request) if request is not None else None,
            await self.count(behind),
        )

    async def history(
        self,
        *,
        subscription: str | None = None,
        delivery: str | None = None,
        limit: int = HISTORY_MAX,
    ) -> Sequence[AuditEntry]:
        """Return what was done, the last first: all of it, or of a subscription or delivery."""
        await self.prepare()
        wanted = {"subscription": subscription, "delivery": delivery}
        conditions = tuple(
            Condition(field, Comparison.EQUAL, value)
            for field, value in wanted.items()
            if value is not None
        )
        rows = await self._storage.find_rows(
            AUDIT.name, RowQuery(conditions, order_by=(("at", True),), limit=limit)
        )
        return [audit_entry_of(row) for row in rows]

    async def asked_for(self, together: str) -> int:
        """Return how much of what was asked for at once is still to be done."""
        await self.prepare()
        condition = Condition("together", Comparison.EQUAL, together)
        return await self._storage.count_rows(REQUESTS.name, (condition,))

    async def held(self, id: str) -> HeldDelivery:
        """Return the held delivery *id*.

        Raises:
            DeliveryNotHeldError: none of that id is held.
        """
        await self.prepare()
        row = (await self._storage.get_rows(DELIVERIES.name, (id,))).get(id)
        if row is None:
            raise DeliveryNotHeldError(id, "it was replayed, discarded, or never held")
        return delivery_of(row)

    async def _override(self, subscription: str, position: int) -> PayloadOverride | None:
        key = override_key(subscription, position)
        row = (await self._storage.get_rows(OVERRIDES.name, (key,))).get(key)
        return override_of(row) if row is not None else None

    async def prepare(self) -> None:
        """Make room in the storage; again, it does nothing."""
        if not self._prepared:
            await self._storage.prepare_collections(_COLLECTIONS)
            self._prepared = True
