"""What operators ask of a partition, written as their API writes it."""

from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_of,
)
from headwater.operations.dead_letters.requests import (
    DeliveryRequest,
    RequestAction,
    request_row,
)
from headwater.ports.changes import Changes
from headwater.ports.rows import RowQuery
from headwater.ports.storage import Storage


async def held(storage: Storage) -> dict[tuple[str, int], HeldDelivery]:
    """Return what is held, by key and position."""
    rows = await storage.find_rows(DELIVERIES.name, RowQuery(limit=10_000))
    return {(one.key, one.position): one for one in map(delivery_of, rows)}


async def states(storage: Storage) -> dict[tuple[str, int], DeliveryState]:
    """Return the states of what is held, by key and position."""
    return {place: one.state for place, one in (await held(storage)).items()}


async def ask(
    storage: Storage, action: RequestAction, *deliveries: HeldDelivery, stop: bool = False
) -> None:
    """Ask for *action* with all of *deliveries*."""
    rows = [
        request_row(
            DeliveryRequest(
                one.id,
                one.subscription,
                one.key,
                one.position,
                one.held_at,
                action,
                "ada",
                0,
                "together",
                reason="because",
                stop_on_failure=stop,
            )
        )
        for one in deliveries
    ]
    await storage.commit(Changes(rows=tuple(rows)))
