"""What is held of a subscription up to a position: whether waiting for it can succeed."""

import msgspec

from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    delivery_of,
)
from headwater.operations.dead_letters.reading import (
    deliveries_by_position,
    in_states,
    of_subscription,
)
from headwater.ports.rows import Comparison, Condition
from headwater.ports.storage import Storage


class HeldUpTo(msgspec.Struct, frozen=True):
    """`parked` are the keys behind a dead letter; `pending`: something is still tried again."""

    parked: tuple[str, ...] = ()
    pending: bool = False


async def held_up_to(storage: Storage, subscription: str, position: int) -> HeldUpTo:
    """Return what *storage* holds of *subscription* at or before *position*, whoever works it."""
    if all(spec.name != DELIVERIES.name for spec in await storage.collections()):
        return HeldUpTo()
    await storage.prepare_collections([DELIVERIES])
    rows = await deliveries_by_position(
        storage,
        of_subscription(subscription),
        in_states(DeliveryState.DEAD, DeliveryState.DELAYED, DeliveryState.READY),
        Condition("position", Comparison.LESS_OR_EQUAL, position),
    )
    found = [delivery_of(row) for row in rows]
    dead = {one.key for one in found if one.state is DeliveryState.DEAD}
    return HeldUpTo(tuple(sorted(dead)), any(one.state is not DeliveryState.DEAD for one in found))
