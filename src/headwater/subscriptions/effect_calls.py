"""Calls of the effect ledger: what is to be done once, and how to find out whether it was."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from headwater.errors import ConfigurationError
from headwater.subscriptions.effects import UncertainEffect

T = TypeVar("T")

WITHIN_SECONDS: Final = 30.0
"""How long an effect may take, unless it says otherwise."""

WITHIN_SECONDS_MAX: Final = 3600.0
"""The longest time that an effect may take."""

NAME_CHARS_MAX: Final = 200
"""The most characters of an effect's name, and of its key."""


class Happened(msgspec.Struct, Generic[T], frozen=True):
    """An effect has happened, and this came of it."""

    result: T


Reconcile = Callable[[UncertainEffect], Awaitable[Happened[T] | None]]
"""Finds out outside whether an effect has happened; None: it has not. It raises if it can't."""


class EffectCall(msgspec.Struct, frozen=True):
    """One call of `EffectLedger.once`; `seconds` is how long it may take.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    name: str
    key: str
    do: Callable[[], Awaitable[Any]]
    returns: Any
    reconcile: Reconcile[Any] | None
    undone: tuple[type[Exception], ...]
    seconds: float

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("key", self.key)):
            if not 0 < len(text) <= NAME_CHARS_MAX:
                raise ConfigurationError(
                    f"The {what} of an effect has 1 to {NAME_CHARS_MAX} characters, not "
                    f"{len(text)}."
                )
        if not 0 < self.seconds <= WITHIN_SECONDS_MAX:
            raise ConfigurationError(
                f"An effect takes above 0 and at most {WITHIN_SECONDS_MAX:g} seconds (within), "
                f"not {self.seconds:g}."
            )
