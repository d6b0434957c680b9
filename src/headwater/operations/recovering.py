"""After a rewind: what is ahead of the log, and how it is brought back to it.

A log is rewound when a backup is restored or an asynchronous standby takes over: it ends earlier
than it did, and may have gone on otherwise. What did not go back with it (rows in another database,
checkpoints there, receipts) then speaks of events that are not there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, LogRewoundError
from headwater.ports.log import WHOLE_LOG
from headwater.ports.storage import Checkpoint, Storage

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
    whether the code knows it.
    """

    subscription: str
    partitions: int
    furthest: int
    ahead: bool
    collection: str | None
    known: bool


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
    head = await log.head()
    strays: list[Stray] = []
    common = 0
    verdicts: dict[Checkpoint, bool] = {}
    for subscription in await storage.subscriptions():
        astray: list[int] = []
        for checkpoint in subscription.checkpoints:
            if checkpoint not in verdicts:
                verdicts[checkpoint] = await _stands(log, checkpoint, head)
            if not verdicts[checkpoint]:
                astray.append(checkpoint.position)
            elif checkpoint.event_id is not None:
                common = max(common, checkpoint.position)
        if astray:
            consumer = (consumers or {}).get(subscription.name)
            strays.append(
                Stray(
                    subscription.name,
                    len(astray),
                    max(astray),
                    max(astray) > head,
                    consumer.collection if consumer else None,
                    consumer is not None,
                )
            )
    receipts = await storage.count_receipts(after=head)
    return Recovery(head, common, tuple(strays), receipts)


async def recover(
    log: Storage,
    storage: Storage,
    recovery: Recovery,
    *,
    subscribers_from: int | None = None,
    rebuild: Sequence[str] = (),
) -> Recovered:
    """Bring what *recovery* found in *storage* back to *log*; the app must not be running.

    A subscription with a collection is rebuilt: its rows are removed and it begins again. Others
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
    for stray in recovery.strays:
        to = BEGINNING if stray.collection or stray.subscription in rebuild else resume
        clear = () if stray.collection is None else (stray.collection,)
        deleted = await storage.reset_subscription(stray.subscription, to=to, clear=clear)
        rows.update(dict.fromkeys(clear, deleted))
        positions[stray.subscription] = to.position
    receipts = await storage.remove_receipts(after=recovery.head)
    return Recovered(rows, positions, receipts)


def not_astray(names: Collection[str]) -> ConfigurationError:
    """Return the error for whoever wants to recover *names*, which are not ahead of the log."""
    return ConfigurationError(
        f"Not ahead of the log, so nothing to recover from: {', '.join(sorted(names))}. To build "
        f"a projection again for another reason: headwater projection rebuild NAME."
    )


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
