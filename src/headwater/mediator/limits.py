"""Limits: what a mediator does at the same time."""

from typing import Final

import msgspec

THREADS_MAX: Final = 32
BACKGROUND_MAX: Final = 1000


class Limits(msgspec.Struct, frozen=True):
    """What a mediator does at the same time.

    `threads` workers at most run ``def`` handlers, more of these wait. `background` handlers
    at most run in the background; one more is refused.
    """

    threads: int = THREADS_MAX
    background: int = BACKGROUND_MAX


DEFAULT_LIMITS: Final = Limits()
