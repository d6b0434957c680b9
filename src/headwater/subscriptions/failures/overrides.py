"""The overrides of a subscription: payloads that were corrected, in the place of stored ones."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from headwater.operations.dead_letters.overrides import (
    OVERRIDES,
    PayloadOverride,
    base_name,
    override_key,
    override_of,
)
from headwater.ports.log import StoredEvent
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

PAGE_ROWS: Final = 1000
"""How many overrides are read at a time."""


Read = Callable[[StoredEvent], Sequence[tuple[StoredEvent, Any]]]
"""Decodes a stored event: `EventCodec.read`."""


class Overrides:
    """The overrides of one subscription, and of all its generations, as last loaded."""

    def __init__(self, subscription: str, target: Storage) -> None:
        self._name, self._target = base_name(subscription), target
        self._by_position: dict[int, PayloadOverride] = {}
        self._prepared = False

    async def load(self) -> None:
        """Read all of them; not often, for there are few."""
        await self._prepare()
        found: dict[int, PayloadOverride] = {}
        after = 0
        while True:
            page = await self._target.find_rows(
                OVERRIDES.name,
                RowQuery(
                    (
                        Condition("subscription", Comparison.EQUAL, self._name),
                        Condition("position", Comparison.GREATER, after),
                    ),
                    order_by=(("position", False),),
                    limit=PAGE_ROWS,
                ),
            )
            for row in page:
                override = override_of(row)
                if override is not None:
                    found[override.position] = override
                after = int(row.key.rpartition("-")[2])
            if len(page) < PAGE_ROWS:
                break
        self._by_position = found

    async def fresh(self, stored: StoredEvent) -> StoredEvent:
        """Return what the subscription reads in the place of *stored*, as it is now."""
        await self._prepare()
        key = override_key(self._name, stored.position)
        row = (await self._target.get_rows(OVERRIDES.name, (key,))).get(key)
        override = override_of(row) if row is not None else None
        if override is None:
            self._by_position.pop(stored.position, None)
        else:
            self._by_position[stored.position] = override
        return self.applied(stored)

    def applied(self, stored: StoredEvent) -> StoredEvent:
        """Return what the subscription reads in the place of *stored*: mostly, that."""
        override = self._by_position.get(stored.position)
        if override is None or override.event_id != stored.id.hex():
            return stored
        return replace(
            stored,
            type=override.type,
            schema_version=override.schema_version,
            data=override.data,
        )

    def reading(self, read: Read) -> Read:
        """Return what reads as *read* does, and overrides in the place of what they override."""
        return (lambda stored: read(self.applied(stored))) if self._by_position else read

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._target.prepare_collections([OVERRIDES])
            self._prepared = True
