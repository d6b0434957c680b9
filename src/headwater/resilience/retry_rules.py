"""What follows from an error of a call that may be tried again."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from headwater.clock import Duration
from headwater.errors import (
    CircuitOpenError,
    ConfigurationError,
    RefusedError,
    UncertainEffectError,
)
from headwater.resilience.arguments import (
    ErrorTypes,
    checked_error_types,
    checked_seconds,
    refuse_repeated,
)
from headwater.resilience.failures import leaves_of, nearest

Delay: TypeAlias = Duration | Callable[[Any], Duration]
"""Seconds, a timedelta, or a function that makes one of the error."""


class Decision(NamedTuple):
    """Whether to try again, and after how many seconds if the error has a wait of its own."""

    again: bool
    wait: float | None = None


_NEVER: Final = Decision(again=False)
_AGAIN: Final = Decision(again=True)
_BY_DEFAULT: Final = (CircuitOpenError, ConfigurationError, UncertainEffectError)
"""Trying again in place is of no use: an open circuit stays open, a wrong call stays wrong, and
what is uncertain is found out by nobody."""


class RetryRules:
    """One decision per class of errors; the class nearest to an error's own has it."""

    def __init__(
        self, *, on: ErrorTypes, never: ErrorTypes, delays: Mapping[type[Exception], Delay]
    ) -> None:
        """Raises:
        ConfigurationError: one class stands in two of them, or something is no class of errors.
        """
        again, not_again = checked_error_types("on", on), checked_error_types("never", never)
        own = checked_error_types("delays", tuple(delays))
        refuse_repeated(
            "retried ('on'), not ('never'), or after a wait of its own ('delays')",
            (*again, *not_again, *own),
        )
        self._rules: dict[type[BaseException], Decision | Delay] = dict.fromkeys(
            (*_BY_DEFAULT, *not_again), _NEVER
        )
        self._rules |= dict.fromkeys(again, _AGAIN)
        for cls, delay in delays.items():
            named = f"delays[{cls.__name__}]"
            self._rules[cls] = (
                delay if callable(delay) else checked_seconds(named, delay, zero=True)
            )
        self._classes = tuple(self._rules)

    def decide(self, error: Exception) -> Decision:
        """Return what follows from *error*; of a group, from all that it holds but refusals."""
        leaves = [leaf for leaf in leaves_of(error) if not isinstance(leaf, RefusedError)]
        decisions = [self._of(leaf) for leaf in leaves]
        if not decisions or not all(decision.again for decision in decisions):
            return _NEVER
        waits = [decision.wait for decision in decisions if decision.wait is not None]
        return Decision(again=True, wait=max(waits)) if waits else _AGAIN

    def _of(self, error: BaseException) -> Decision:
        cls = nearest(error, self._classes)
        rule = _NEVER if cls is None else self._rules[cls]
        if isinstance(rule, Decision):
            return rule
        wait = rule(error) if callable(rule) else rule
        return Decision(again=True, wait=checked_seconds("the delay", wait, zero=True))
