"""Builds a projection again from the beginning of the log, also while workers are at it."""

from collections.abc import Sequence

import msgspec

from headwater.errors import ConfigurationError
from headwater.operations.dead_letters.forgetting import forget_stale
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage

BEGINNING = Checkpoint(0)


class Rebuild(msgspec.Struct, frozen=True):
    """What a rebuild began with: how many rows of which collections went, and how far it has to go.

    `rows` went; the subscription begins again at position 0, and `head` is where it has to come.
    """

    subscription: str
    collections: tuple[str, ...]
    rows: int
    head: int


async def begin_again(
    log: Storage,
    storage: Storage,
    subscription: str,
    *,
    collections: Sequence[str],
    some_dropped: bool = False,
) -> Rebuild:
    """Delete the rows of *collections* in *storage* and let *subscription* begin again.

    Both are one commit. Workers may run: what one of them has in hand was folded from rows and
    checkpoints that are not there any more, and is refused; it goes on from position 0 within
    seconds. Until it has caught up, readers see rows missing or as they were. What it held, dead
    or delayed, is deleted too. With *some_dropped*, a collection that is not there has no rows to
    delete.

    Raises:
        ConfigurationError: the subscription was never opened in *storage*, or *collections* are
            none, or not there.
        StorageError: one of them can't be used.
    """
    if not collections:
        raise ConfigurationError(
            f"Subscription {subscription!r} writes its rows itself, so nobody else knows which are "
            f"its own. Name its collections; and mind that a subscriber does again all that it did."
        )
    stored = await storage.subscriptions()
    if all(one.name != subscription for one in stored):
        known = ", ".join(one.name for one in stored) or "(none)"
        raise ConfigurationError(
            f"There is no subscription {subscription!r} in this storage: it was never run, or its "
            f"rows are in another one. There are: {known}."
        )
    prepared = {one.name for one in await storage.collections()}
    if not some_dropped and (strangers := set(collections) - prepared):
        raise ConfigurationError(
            f"There is no collection {', '.join(sorted(strangers))} in this storage; there are: "
            f"{', '.join(sorted(prepared)) or '(none)'}."
        )
    clear = tuple(one for one in collections if one in prepared)
    rows = await storage.reset_subscription(subscription, to=BEGINNING, clear=clear)
    await forget_stale(storage, subscription)
    return Rebuild(subscription, clear, rows, await log.head())
