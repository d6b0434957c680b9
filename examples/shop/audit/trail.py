"""The audit trail: a projection of all events, whatever their type."""

from collections.abc import Sequence
from datetime import datetime

from examples.shop.audit.context import audit
from headwater import Collection, Event, Projection, Query, ReadModel, Recorded, applies


class AuditEntry(ReadModel, key="position", indexed=("entity",)):
    """One change: `entity` is such as ``sales.order-42``, `action` such as ``OrderShipped``."""

    position: int
    entity: str
    entity_type: str
    entity_id: str
    action: str
    actor: str | None
    at: datetime


class GetTrail(Query[Sequence[AuditEntry]]):
    """What happened to one entity, such as ``sales.order-42``, in order."""

    entity: str


class CountEntries(Query[int]):
    """How many changes there were."""


def position_of(recorded: Recorded[Event]) -> int:
    """Return the key of the row of an event: no two have one position."""
    return recorded.position


@audit.projection
class AuditTrail(Projection[AuditEntry]):
    """One row per event; a method that takes the base class gets all."""

    @applies(key=position_of)
    def happened(self, event: Recorded[Event], row: AuditEntry | None) -> AuditEntry:
        entity_type, _, entity_id = event.stream_id.partition("-")
        return AuditEntry(
            event.position,
            event.stream_id,
            entity_type,
            entity_id,
            type(event.payload).__name__,
            event.actor,
            event.recorded_at,
        )


@audit.handler
async def get_trail(query: GetTrail, entries: Collection[AuditEntry]) -> Sequence[AuditEntry]:
    found = await entries.find(entity=query.entity, limit=1000)
    return sorted(found, key=lambda entry: entry.position)


@audit.handler
async def count_entries(query: CountEntries, entries: Collection[AuditEntry]) -> int:
    return await entries.count()
