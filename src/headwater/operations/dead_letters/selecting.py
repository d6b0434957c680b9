"""Which held deliveries an operator means."""

from collections.abc import Sequence

import msgspec

from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_of,
    key_id,
)
from headwater.operations.dead_letters.reading import (
    deliveries_by_position,
    in_states,
    of_subscription,
)
from headwater.ports.rows import Comparison, Condition, Rows


class Selection(msgspec.Struct, frozen=True):
    """Held deliveries: those of which all holds that is given; by default all dead letters.

    `key` goes with `subscription`. `group` is a `HeldDelivery.group`. `states` empty: in any.
    """

    subscription: str | None = None
    key: str | None = None
    group: str | None = None
    states: frozenset[DeliveryState] = frozenset((DeliveryState.DEAD,))

    def conditions(self) -> tuple[Condition, ...]:
        """Return what of it a storage can look for.

        Raises:
            ValueError: a key is given without its subscription.
        """
        found: list[Condition] = []
        if self.key is not None:
            if self.subscription is None:
                raise ValueError("a key is one of a subscription; say of which")
            id = key_id(self.subscription, self.key)
            found.append(Condition("key_id", Comparison.EQUAL, id))
        elif self.subscription is not None:
            found.append(of_subscription(self.subscription))
        if self.group is not None:
            found.append(Condition("group_id", Comparison.EQUAL, self.group))
        if self.states:
            found.append(in_states(*self.states))
        return tuple(found)


DEAD_LETTERS = Selection()
"""All dead letters."""


async def selected(rows: Rows, selection: Selection) -> Sequence[HeldDelivery]:
    """Return what *selection* means, by position."""
    return [delivery_of(row) for row in await deliveries_by_position(rows, *selection.conditions())]


async def counted(rows: Rows, selection: Selection) -> int:
    """Return how many *selection* means, as the storage counts them."""
    return await rows.count_rows(DELIVERIES.name, selection.conditions())
