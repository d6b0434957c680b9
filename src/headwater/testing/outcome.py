"""What came of an action that was tested, and how failed expectations read."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from headwater.serialization.sameness import fields_of

X = TypeVar("X", bound=Exception)


class Outcome:
    """What came of the action: new events, or an error."""

    def __init__(self, label: str, events: tuple[Any, ...], error: Exception | None) -> None:
        self._label, self._events, self._error = label, events, error
        self._looked_at = False

    def then_raises(self, expected: type[X], *, match: str | None = None) -> X:
        """Expect an error of a class, whose text matches a regular expression; return it."""
        __tracebackhide__ = True
        self._looked_at = True
        if self._error is None:
            raise failure(
                f"{self._label}: expected {expected.__name__}, but nothing was raised. "
                f"{self._told()}"
            )
        if not isinstance(self._error, expected):
            raise failure(
                f"{self._label}: expected {expected.__name__}, got {described(self._error)}"
            ) from self._error
        if match is not None and re.search(match, str(self._error)) is None:
            raise failure(
                f"{self._label}: expected {expected.__name__} with a text that matches "
                f"{match!r}, got {str(self._error)!r}."
            ) from self._error
        return self._error

    def _told(self) -> str:
        return f"Events: {', '.join(map(repr, self._events)) or 'none'}."

    def _expect_events(self, expected: tuple[Any, ...]) -> None:
        __tracebackhide__ = True
        self._expect_no_error(f"{len(expected)} event(s)")
        problems = list(message_problems(expected, self._events))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise failure(f"{self._label}: other events than expected.\n{lines}")

    def _expect_no_error(self, instead: str) -> None:
        __tracebackhide__ = True
        self._looked_at = True
        if self._error is not None:
            raise failure(
                f"{self._label}: expected {instead}, but it raised {described(self._error)}"
            ) from self._error

    def __del__(self) -> None:
        if self._error is not None and not self._looked_at:
            warnings.warn(
                f"{self._label}: when() raised {described(self._error)} and no then looked at it",
                stacklevel=2,
            )


# ----------------------------------------------------------------------- how failures read


def failure(text: str) -> AssertionError:
    """Return *text* as what a test fails with."""
    return AssertionError(text)


def described(error: Exception) -> str:
    """Return the class and the text of *error*."""
    return f"{type(error).__name__}: {error}"


def message_problems(
    expected: Sequence[Any], actual: Sequence[Any], *, noun: str = "event"
) -> Iterator[str]:
    """Yield a text for every place where *actual* is not *expected*; none if all are equal."""
    for index in range(max(len(expected), len(actual))):
        place = f"{noun} {index + 1}"
        if index >= len(actual):
            yield f"{place}: missing {expected[index]!r}"
        elif index >= len(expected):
            yield f"{place}: unexpected {actual[index]!r}"
        elif type(expected[index]) is not type(actual[index]):
            yield f"{place}: expected {expected[index]!r}, got {actual[index]!r}"
        else:
            path = f"{place}, {type(expected[index]).__name__}"
            yield from differences(expected[index], actual[index], path)


def differences(expected: Any, actual: Any, path: str) -> Iterator[str]:
    """Yield a text for every part of *actual*, named from *path* on, that is not as expected."""
    if type(expected) is type(actual) and expected == actual:
        return
    found = [
        difference
        for part, mine, other in _parts(expected, actual)
        for difference in differences(mine, other, f"{path}{part}".lstrip("."))
    ]
    if found:
        yield from found
    elif expected != actual or type(expected) is not type(actual):
        yield f"{path or 'it'}: expected {expected!r}, got {actual!r}"


def _parts(expected: Any, actual: Any) -> list[tuple[str, Any, Any]]:
    kind = expected.__class__
    if kind is not actual.__class__:
        return []
    names = fields_of(kind)
    if names is None and hasattr(kind, "model_fields"):
        names = tuple(kind.model_fields)
    if names is not None:
        return [(f".{name}", getattr(expected, name), getattr(actual, name)) for name in names]
    if issubclass(kind, Mapping) and expected.keys() == actual.keys():
        return [(f"[{key!r}]", expected[key], actual[key]) for key in expected]
    if issubclass(kind, list | tuple) and len(expected) == len(actual):
        pairs = zip(expected, actual, strict=True)
        return [(f"[{index}]", mine, other) for index, (mine, other) in enumerate(pairs)]
    return []
