"""Named places between reading an event and committing its effects, at which a test can strike.

In production a fail point costs one comparison. A test sets `strike`, and can end the process, or
stop it for a while, wherever it wants.
"""

from collections.abc import Callable
from typing import Final

FAIL_POINTS: Final = (
    "partitions-leased",
    "held-loaded",
    "page-read",
    "events-dealt",
    "batch-taken",
    "effect-reserved",
    "effect-done",
    "batch-worked",
    "event-held",
    "redelivery-taken",
    "redelivery-worked",
    "idle-stored",
    "partitions-released",
)
"""All of them, in the order in which an event meets them."""

strike: Callable[[str], None] | None = None
"""What to call with the name of a fail point that is reached; None outside of tests."""


def reach(name: str) -> None:
    """Let a test strike at the fail point *name*."""
    if strike is not None:
        strike(name)
