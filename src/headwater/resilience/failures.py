"""What an error means to a policy, and how it is told to people."""

from collections.abc import Iterator
from typing import Any, Final, cast

from headwater.errors import RefusedError

REASON_LENGTH_MAX: Final = 300
"""So many characters of an error's text stand in a log line or in another error."""


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, or all that an exception group holds, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves_of(one)
    else:
        yield error


def is_refusal(error: BaseException) -> bool:
    """Return whether *error* is a refusal, or a group of nothing but refusals."""
    return all(isinstance(leaf, RefusedError) for leaf in leaves_of(error))


def nearest(error: BaseException, types: tuple[type[Any], ...]) -> type[Any] | None:
    """Return the class in *types* that is nearest to *error*'s own, None if it is none of them."""
    return next((cls for cls in type(error).__mro__ if cls in types), None)


def reason_of(error: BaseException) -> str:
    """Return type and text of *error* on one line, cut to `REASON_LENGTH_MAX`.

    It stands within a sentence, so it has no full stop.
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error that can't be printed must not hide itself
        text = "(its text can't be read)"
    name = type(error).__qualname__.replace("<locals>.", "")
    told = f"{name}: {text.removesuffix('.')}" if text else name
    return told if len(told) <= REASON_LENGTH_MAX else f"{told[: REASON_LENGTH_MAX - 1]}…"
