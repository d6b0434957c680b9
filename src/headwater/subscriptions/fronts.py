"""Fronts: where the partitions of this process stand, and what they are at, to see which stalls."""

from collections.abc import Iterable, Iterator

import msgspec

from headwater.subscriptions.partitions import Partition


class Front(msgspec.Struct, frozen=True):
    """What a partition that has something to do is at.

    `mark` is another whenever it has come further. `cause` is what likely holds it up if it
    does not.
    """

    partition: int
    mark: tuple[int, ...]
    cause: str


def fronts_of(
    partitions: Iterable[Partition], *, head: int, events_done: int, leased: bool
) -> Iterator[Front]:
    """Yield the fronts of those of *partitions* that are behind *head*, the end of the log.

    *events_done* counts what their subscription has done, and *leased* says whether their leases
    have surely not run out.
    """
    for one in partitions:
        if one.leaving or one.reached >= head:
            continue
        at = one.first.position if one.first is not None else 0
        # While it hands over again what was held, its place in the log stays.
        again = events_done if one.storing else 0
        mark = (one.token, one.stored.position, one.dealt_to.position, at, again)
        yield Front(one.number, mark, _cause(one, leased=leased))


def _cause(one: Partition, *, leased: bool) -> str:
    where = f"partition {one.number}"
    if not leased:
        return f"{where}: its lease could not be renewed, the storage does not answer"
    if one.blocked is not None:
        return f"{where}: {one.blocked}"
    first = one.first
    if one.storing:
        return f"{where}: what was held is handed over again, and a handler does not return"
    if first is None:
        return f"{where}: the log is not read past position {one.dealt_to.position}"
    event = f"event {first.type} of {first.stream_id} at position {first.position}"
    if one.hand:
        return f"{where}: the handler of {event} is still running, or its commit waits"
    return f"{where}: {event} is read and not handled"
