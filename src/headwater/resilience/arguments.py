"""Arguments of policies, checked where they are given."""

from datetime import timedelta
from typing import Any, Final, TypeAlias, cast

from headwater.clock import seconds_of
from headwater.errors import ConfigurationError, RefusedError

ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""One class of errors or several, as ``except`` takes them."""

SECONDS_MAX: Final = 100 * 365 * 86_400.0
"""The longest duration that a policy takes: a hundred years."""


def checked_count(name: str, count: object, *, least: int) -> int:
    """Return *count*, a whole number of *least* or more.

    Raises:
        ConfigurationError: it is none.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise ConfigurationError(
            f"{name} must be a whole number of {least} or more, not {count!r}.{_hint(count)}"
        )
    return count


def checked_number(name: str, number: object, *, least: float, most: float) -> float:
    """Return *number*, from *least* to *most*.

    Raises:
        ConfigurationError: it is none.
    """
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not least <= number <= most
    ):
        raise ConfigurationError(f"{name} must be from {least:g} to {most:g}, not {number!r}.")
    return float(number)


def checked_seconds(name: str, duration: object, *, zero: bool = False) -> float:
    """Return *duration* in seconds: above 0, or 0 as well with *zero*.

    Raises:
        ConfigurationError: it is no duration, negative, or above `SECONDS_MAX`.
    """
    if isinstance(duration, int | float | timedelta) and not isinstance(duration, bool):
        seconds = seconds_of(duration)
        if 0 < seconds <= SECONDS_MAX or (zero and seconds == 0):
            return seconds
    least = "0 or more" if zero else "above 0"
    raise ConfigurationError(
        f"{name} must be seconds or a timedelta, {least} and at most a hundred years, not "
        f"{duration!r}.{_hint(duration)}"
    )


def checked_error_types(name: str, types: object) -> tuple[type[Exception], ...]:
    """Return *types* as a tuple.

    Raises:
        ConfigurationError: something in it is no class of exceptions, or one of refusals, which
            are answers, whatever a policy says.
    """
    found: list[type[Exception]] = []
    all_of_them = cast("tuple[object, ...]", types) if isinstance(types, tuple) else (types,)
    for one in all_of_them:
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise ConfigurationError(
                f"{name} must name classes of exceptions, not {one!r}. Cancellation and what else "
                f"is no Exception always passes through."
            )
        if issubclass(one, RefusedError):
            raise ConfigurationError(
                f"{name} names {one.__name__}, a refusal: that is an answer, not a failure, and "
                f"passes through every policy. Let it not derive from RefusedError if it is one."
            )
        found.append(one)
    return tuple(found)


def refuse_repeated(question: str, types: tuple[type[Exception], ...]) -> None:
    """Check that each of *types* is named once.

    Raises:
        ConfigurationError: one is named twice; it must say *question* once.
    """
    for cls in types:
        if types.count(cls) > 1:
            raise ConfigurationError(f"{cls.__name__} is named twice: is it {question}? Say one.")


def checked_text(name: str, text: object) -> str:
    """Return *text*, which is not empty.

    Raises:
        ConfigurationError: it is empty or no text.
    """
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{name} must be a text that is not empty, not {text!r}.")
    return text


def _hint(value: Any) -> str:
    """Return what to do if *value* was meant to be decorated."""
    return " A policy is called before it decorates: write @Retry()." if callable(value) else ""
