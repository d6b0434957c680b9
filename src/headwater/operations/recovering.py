"""After a rewind: what is ahead of the log, and how it is brought back to it.

A log is rewound when a backup is restored or an asynchronous standby takes over: it ends earlier
than it did, and may have gone on otherwise. What did not go back with it (rows in another database,
checkpoints there, receipts) then speaks of events that are not there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, LogRewoundError
from headwater.operations.dead_letters.forgetting import forget_stale
from headwater.ports.administration import StoredSubscription
from headwater.ports.leases import Checkpoint
from headwater.ports.log import WHOLE_LOG
from headwater.ports.storage import Storage

BEGINNING: Final = Checkpoint(0)


class Consumer(msgspec.Struct, frozen=True):
    """What is known of a subscription from the code: the collection that it can rebuild.

    None: it has none, as a subscriber, whose effects can't be taken back.
    """

    collection: str | None = None


class Stray(msgspec.Struct, frozen=True):
    """A subscription that has read what the log does not hold.

    `furthest` is its checkpoint furthest on; `ahead` says whether it is past the head (else
    another event stands there). `collection` is what is cleared when it is rebuilt. `known` says
    whether the code knows it. One that is `shared` has read only what is there, but fills the
    collection of another that is cleared, and so begins again with it.
    """

    subscription: str
    partitions: int
    furthest: int
    ahead: bool
    collection: str | None
    known: bool
    shared: bool = False


class Recovery(msgspec.Struct, frozen=True):
    """What is ahead of the log in one storage.

    `common` is the highest position of which it is certain that the log was not rewound before
    it, because a checkpoint there holds the id of the event that stands there now (0: no
    checkpoint tells). `receipts` speak of commits past the head.
    """

    head: int
    common: int
    strays: tuple[Stray, ...]
    receipts: int

    @property
    def needed(self) -> bool:
        """Whether anything is ahead."""
        return bool(self.strays or self.receipts)


class Recovered(msgspec.Struct, frozen=True):
    """What `recover` did: rows removed by collection, where subscriptions stand, receipts gone."""

    rows: Mapping[str, int]
    subscriptions: Mapping[str, int]
    receipts: int


async def examine(
    log: Storage, storage: Storage, *, consumers: Mapping[str, Consumer] | None = None
) -> Recovery:
    """Return what in *storage* is ahead of *log*, which may be the same; nothing is changed.

    *consumers* are the subscriptions that the code has, by name.

    Raises:
        StorageError: one of them can't be read.
    """
    known = consumers or {}
    head = await log.head()
    common = 0
    verdicts: dict[Checkpoint, bool] = {}
    found: list[Stray] = []
    for subscription in await storage.subscriptions():
        astray: list[int] = []
        for checkpoint in subscription.checkpoints:
            if checkpoint not in verdicts:
                verdicts[checkpoint] = await _stands(log, checkpoint, head)
                if verdicts[checkpoint] and await _is_proven(log, checkpoint, above=common):
                    common = checkpoint.position
            if not verdicts[checkpoint]:
                astray.append(checkpoint.position)
        found.append(_found(subscription, astray, head, known.get(subscription.name)))
    cleared = {one.collection for one in found if not one.shared} - {None}
    strays = tuple([one for one in found if not one.shared or one.collection in cleared])
    receipts = await storage.count_receipts(after=head)
    return Recovery(head, common, strays, receipts)


async def recover(
    log: Storage,
    storage: Storage,
    recovery: Recovery,
    *,
    subscribers_from: int | None = None,
    rebuild: Sequence[str] = (),
) -> Recovered:
    """Bring what *recovery* found in *storage* back to *log*; the app must not be running.

    A subscription with a collection is rebuilt: its rows are removed and it begins again, and so
    do all that fill the same collection. Others
    go on after *subscribers_from*, by default after the head: what was appended since the rewind
    is not delivered to them then; with `Recovery.common` nothing is left out, but events may
    come again. Those named in *rebuild* begin again whatever they are. Receipts past the head
    are removed: their messages count as new.

    Begun again after it was cut off, with a new `examine`, it does the rest.

    Raises:
        ConfigurationError: *subscribers_from* is past the head, or *rebuild* names what is
            not astray.
        StorageError: one of them can't be used.
    """
    if subscribers_from is not None and not 0 <= subscribers_from <= recovery.head:
        raise ConfigurationError(
            f"Subscribers can go on after a position from 0 to {recovery.head}, the head of the "
            f"log, not after {subscribers_from}."
        )
    astray = {stray.subscription for stray in recovery.strays}
    if strangers := set(rebuild) - astray:
        raise not_astray(strangers)
    after = recovery.head if subscribers_from is None else subscribers_from
    resume = await _checkpoint_at(log, after)
    rows: dict[str, int] = {}
    positions: dict[str, int] = {}
    # Who is astray comes last: until then a new `examine` finds those that share its collection.
    for stray in sorted(recovery.strays, key=lambda one: not one.shared):
        to = BEGINNING if stray.collection or stray.subscription in rebuild else resume
        clear = () if stray.collection is None else (stray.collection,)
        deleted = await storage.reset_subscription(stray.subscription, to=to, clear=clear)
        await forget_stale(storage, stray.subscription)
        for collection in clear:
            rows[collection] = rows.get(collection, 0) + deleted
        positions[stray.subscription] = to.position
    receipts = await storage.remove_receipts(after=recovery.head)
    return Recovered(rows, positions, receipts)


def not_astray(names: Collection[str]) -> ConfigurationError:
    """Return the error for whoever wants to recover *names*, which are not ahead of the log."""
    return ConfigurationError(
        f"Not ahead of the log, so nothing to recover from: {', '.join(sorted(names))}. To build "
        f"a projection again for another reason: headwater projection rebuild NAME."
    )


def _found(
    subscription: StoredSubscription, astray: Sequence[int], head: int, consumer: Consumer | None
) -> Stray:
    """Return what stands at *astray* of a subscription; where nothing does, it is `shared`."""
    positions = astray or [checkpoint.position for checkpoint in subscription.checkpoints]
    furthest = max(positions, default=0)
    return Stray(
        subscription.name,
        len(positions),
        furthest,
        furthest > head,
        consumer.collection if consumer else None,
        consumer is not None,
        not astray,
    )


async def _is_proven(log: Storage, checkpoint: Checkpoint, *, above: int) -> bool:
    """Return whether *checkpoint* is past *above* and the event behind it stands in the log."""
    if checkpoint.event_id is None or checkpoint.position <= above:
        return False
    return await _checkpoint_at(log, checkpoint.position) == checkpoint


async def _stands(log: Storage, checkpoint: Checkpoint, head: int) -> bool:
    """Return whether the log is still the one that was read up to *checkpoint*."""
    if checkpoint.position > head:
        return False
    if checkpoint.event_id is None:
        return True
    try:
        await log.read_log(
            after=checkpoint.position, after_id=checkpoint.event_id, where=WHOLE_LOG, limit=1
        )
    except LogRewoundError:
        return False
    return True


async def _checkpoint_at(log: Storage, position: int) -> Checkpoint:
    """Return the cursor of a reader that has come to *position*."""
    if position == 0:
        return BEGINNING
    page = await log.read_log(after=position - 1, where=WHOLE_LOG, limit=1)
    return Checkpoint(position, page.event_id if page.scanned_to == position else None)
