"""Held deliveries that failed alike."""

from collections.abc import Iterable, Sequence

import msgspec

from headwater.operations.dead_letters.deliveries import HeldDelivery


class Group(msgspec.Struct, frozen=True):
    """Deliveries that failed with one error at one place. Times are microseconds since 1970 UTC.

    `group` is what selects them. `message` is that of the last of them in the log; `keys` is how
    many there are, `first_at` and `last_at` are when the first and the last of them was held.
    """

    group: str
    error: str
    place: str
    message: str
    count: int
    keys: int
    subscriptions: tuple[str, ...]
    first_at: int
    last_at: int


def groups_of(deliveries: Iterable[HeldDelivery]) -> Sequence[Group]:
    """Return the groups of *deliveries*, the largest first."""
    found: dict[str, list[HeldDelivery]] = {}
    for one in deliveries:
        if one.group:
            found.setdefault(one.group, []).append(one)
    groups = [
        Group(
            group,
            alike[-1].error,
            alike[-1].place,
            alike[-1].message,
            len(alike),
            len({(one.subscription, one.key) for one in alike}),
            tuple(sorted({one.subscription for one in alike})),
            min(one.held_at for one in alike),
            max(one.held_at for one in alike),
        )
        for group, alike in found.items()
    ]
    return sorted(groups, key=lambda each: (-each.count, each.group))
