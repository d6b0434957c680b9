"""What a subscription holds: deliveries that wait for their time, their turn, or an operator."""

from headwater.operations.dead_letters.deliveries import DELIVERIES, DeliveryState, delivery_of
from headwater.ports.rows import ROWS_MAX, Comparison, Condition, RowQuery
from headwater.ports.storage import Storage
from headwater.subscriptions.status import HeldCounts


async def held_counts(storage: Storage, subscription: str) -> HeldCounts:
    """Return how many deliveries *subscription* holds in *storage*, its target.

    Of dead ones, at most `ROWS_MAX` are looked at for their keys.

    Raises:
        StorageError: the storage can't be used.
    """
    prepared = [spec for spec in await storage.collections() if spec.name == DELIVERIES.name]
    if not prepared:
        return HeldCounts()
    await storage.prepare_collections(prepared)  # by others, perhaps; this storage may not know it
    of_it = Condition("subscription", Comparison.EQUAL, subscription)
    if not await storage.count_rows(DELIVERIES.name, (of_it,)):
        return HeldCounts()

    async def count(*states: DeliveryState) -> int:
        among = Condition("state", Comparison.ONE_OF, tuple(state.value for state in states))
        return await storage.count_rows(DELIVERIES.name, (of_it, among))

    dead = await count(DeliveryState.DEAD)
    parked: set[str] = set()
    if dead:
        is_dead = Condition("state", Comparison.EQUAL, DeliveryState.DEAD.value)
        rows = await storage.find_rows(DELIVERIES.name, RowQuery((of_it, is_dead), limit=ROWS_MAX))
        parked = {one.key for one in map(delivery_of, rows) if one.parks}
    return HeldCounts(
        await count(DeliveryState.DELAYED, DeliveryState.READY),
        await count(DeliveryState.WAITING),
        dead,
        len(parked),
    )
