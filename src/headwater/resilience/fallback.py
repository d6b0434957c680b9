"""Fallback: something else in place of a failure."""

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final, ParamSpec, TypeVar, cast

from headwater.errors import ConfigurationError, RefusedError
from headwater.resilience.arguments import ErrorTypes, checked_error_types, refuse_repeated
from headwater.resilience.attempts import answer_instead
from headwater.resilience.failures import leaves_of, nearest, reason_of
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable, name_of

P = ParamSpec("P")
T = TypeVar("T")

_NEVER_BY_DEFAULT: Final = (ConfigurationError,)
_log = logging.getLogger("headwater")


class Fallback(Decorating):
    """Answers with ``function(error)`` where a call fails: ``Fallback(lambda error: [])``.

    Args:
        function: takes the error and returns, or is an ``async def`` that returns, what a call
            would have. What it raises comes out, with the first error as its context.
        on: classes of errors that it answers for.
        never: classes that it doesn't.

    Of `on` and `never` the class nearest to the error's own decides. `RefusedError` is an answer
    and comes out; `ConfigurationError` too unless it is named. An exception group is answered for
    if all in it is, refusals left aside.

    Use it as a decorator or by `call`. It is no context manager, for a block has no result. It
    keeps no state, so one object can be shared by any tasks and threads.

    Raises:
        ConfigurationError: an argument is of the wrong kind, or one class is named twice.
    """

    def __init__(
        self,
        function: Callable[[Exception], Any],
        *,
        on: ErrorTypes = Exception,
        never: ErrorTypes = (),
    ) -> None:
        _check_callable(function)
        self._function = function
        answered = checked_error_types("on", on)
        left = checked_error_types("never", never)
        refuse_repeated("answered for ('on') or not ('never')", (*answered, *left))
        self._rules: dict[type[Exception], bool] = dict.fromkeys(_NEVER_BY_DEFAULT, False)
        self._rules |= dict.fromkeys(left, False) | dict.fromkeys(answered, True)
        self._classes = tuple(self._rules)

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)``; return its result, or the fallback's."""
        try:
            pending = function(*args, **kwargs)
            if type(pending) is not COROUTINE:
                check_awaitable(pending, function)
            return await pending
        except Exception as error:
            if not self._answers_for(error):
                raise
            _log.warning(
                "%s failed with %s; its fallback answers", name_of(function, args), reason_of(error)
            )
            if (told := answer_instead.get()) is not None:
                told()
            # Within the handler of the error, so that a second one has it as its context.
            answer = self._function(error)
            return cast("T", await answer if isawaitable(answer) else answer)

    def _answers_for(self, error: Exception) -> bool:
        leaves = [leaf for leaf in leaves_of(error) if not isinstance(leaf, RefusedError)]
        classes = [nearest(leaf, self._classes) for leaf in leaves]
        return bool(classes) and all(cls is not None and self._rules[cls] for cls in classes)


def _check_callable(function: object) -> None:
    if not callable(function):
        raise ConfigurationError(
            f"A fallback is a function of the error, not {function!r}. For a fixed value write "
            f"Fallback(lambda error: …)."
        )
