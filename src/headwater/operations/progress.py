"""How long operations say how far they have come."""

from typing import Protocol


class Progress(Protocol):
    """Hears how many of *total* (positions of the log, as a rule) are done."""

    def __call__(self, done: int, total: int) -> None: ...


def no_progress(done: int, total: int) -> None:
    """Say nothing."""
