"""Verdicts: what the end of a call says about the thing that was called."""

from enum import Enum
from typing import Final

from headwater.errors import (
    CallRejectedError,
    ConfigurationError,
    RefusedError,
    UncertainEffectError,
)
from headwater.resilience.arguments import ErrorTypes, checked_error_types, refuse_repeated
from headwater.resilience.failures import leaves_of, nearest


class Verdict(Enum):
    """What one call says."""

    FAILURE = "failure"
    ANSWER = "answer"
    """It did what it is there for, be it that it said no."""
    NOTHING = "nothing"
    """It never came to the thing that was called, or was cancelled."""


_SAY_NOTHING: Final = (CallRejectedError, ConfigurationError, UncertainEffectError)
"""Raised before anything was called."""


class Verdicts:
    """One verdict per class of errors; the class nearest to an error's own has it."""

    def __init__(self, *, counts: ErrorTypes, ignores: ErrorTypes) -> None:
        """Raises:
        ConfigurationError: one class stands in both, or something is no class of errors.
        """
        failures = checked_error_types("counts", counts)
        answers = checked_error_types("ignores", ignores)
        refuse_repeated("counted ('counts') or not ('ignores')", (*failures, *answers))
        self._verdicts: dict[type[BaseException], Verdict] = dict.fromkeys(
            _SAY_NOTHING, Verdict.NOTHING
        )
        self._verdicts |= dict.fromkeys(answers, Verdict.ANSWER)
        self._verdicts |= dict.fromkeys(failures, Verdict.FAILURE)
        self._classes = tuple(self._verdicts)

    def of(self, error: BaseException | None) -> Verdict:
        """Return what a call says that ended with *error*, None if with a result.

        Of a group: the worst of what its members say.
        """
        if error is None:
            return Verdict.ANSWER
        found = {self._of_one(leaf) for leaf in leaves_of(error)}
        if Verdict.FAILURE in found:
            return Verdict.FAILURE
        return Verdict.NOTHING if Verdict.NOTHING in found else Verdict.ANSWER

    def _of_one(self, error: BaseException) -> Verdict:
        if not isinstance(error, Exception):
            return Verdict.NOTHING
        if isinstance(error, RefusedError):
            return Verdict.ANSWER
        cls = nearest(error, self._classes)
        return Verdict.ANSWER if cls is None else self._verdicts[cls]
