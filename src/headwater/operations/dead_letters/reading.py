"""Reads many rows of what is held, while others write beside it."""

from collections.abc import Sequence
from typing import Final

from headwater.operations.dead_letters.deliveries import DELIVERIES, DeliveryState
from headwater.ports.rows import ROWS_MAX, Comparison, Condition, Row, RowQuery, Rows

PAGE_ROWS: Final = 1000
"""How many rows are read at a time, if no more of them are of one event."""


async def deliveries_by_position(rows: Rows, *conditions: Condition) -> Sequence[Row]:
    """Return all held deliveries that meet *conditions*, by position.

    What is not changed meanwhile is neither left out nor there twice, whatever else comes and goes.
    """
    found: dict[str, Row] = {}
    after, limit = 0, PAGE_ROWS
    while True:
        from_there = Condition("position", Comparison.GREATER_OR_EQUAL, after)
        page = await rows.find_rows(
            DELIVERIES.name,
            RowQuery((*conditions, from_there), order_by=(("position", False),), limit=limit),
        )
        fresh = [row for row in page if row.key not in found]
        found.update((row.key, row) for row in fresh)
        if len(page) < limit:
            return tuple(found.values())
        # Keys end with the position. A whole page of one position asks for a larger one.
        after = int(page[-1].key.rpartition("-")[2])
        limit = PAGE_ROWS if fresh else ROWS_MAX


def of_subscription(subscription: str) -> Condition:
    """Return the condition of being a delivery of *subscription*."""
    return Condition("subscription", Comparison.EQUAL, subscription)


def in_states(*states: DeliveryState) -> Condition:
    """Return the condition of being in one of *states*."""
    return Condition("state", Comparison.ONE_OF, tuple(state.value for state in states))
