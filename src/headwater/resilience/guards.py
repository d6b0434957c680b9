"""Guards: what stands around a call; and the decorator that every policy is."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from headwater.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")

_GUARD: Final = "__headwater_guard__"

COROUTINE: Final[type] = CoroutineType
"""What an ``async def`` returns; anything else is looked at more closely."""


@runtime_checkable
class Guard(Protocol):
    """Something that stands around a call: every policy, or one of your own.

    It calls *function* with the arguments once, several times or not at all, each time anew, and
    returns what that returns. It lets `CancelledError` through.

    Around a handler each call has a unit of work of its own, and the one is kept whose result is
    returned.
    """

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` under this guard; return its result."""
        ...


class Decorating:
    """Makes a guard a decorator of async functions and methods."""

    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Return *function* under this policy, with the same signature.

        One policy object around several functions is shared by them.

        Raises:
            ConfigurationError: *function* is no ``async def``.
        """
        check_async(function, type(self).__name__)
        return self._decorated(function)

    def _decorated(
        self, function: Callable[P, Awaitable[T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        call = cast("Guard", self).call

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return await call(function, *args, **kwargs)

        return remembered(guarded, cast("Guard", self), function)


F = TypeVar("F", bound=Callable[..., Any])


def remembered(guarded: F, guard: Guard, function: Callable[..., Any]) -> F:
    """Return *guarded*, which is *function* under *guard*, so that `taken_off` knows that."""
    # With itself, for whoever wraps it takes over its attributes.
    setattr(guarded, _GUARD, (guarded, guard, function))
    return guarded


def taken_off(function: Callable[..., Any]) -> tuple[tuple[Guard, ...], Callable[..., Any]]:
    """Return the guards that *function* was decorated with, outermost first, and what is inside."""
    guards: list[Guard] = []
    while (found := getattr(function, _GUARD, None)) is not None and found[0] is function:
        _, guard, function = found
        guards.append(guard)
    return tuple(guards), function


def is_hidden_in(function: Callable[..., Any]) -> bool:
    """Return whether *function*, no guard itself, is wrapped around one that was decorated so."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
        if taken_off(function)[0]:
            return True
    return False


def check_async(function: object, guard: str) -> None:
    """Check that *function* is an ``async def``, however decorated, bound or partial.

    Raises:
        ConfigurationError: it is not, so there would be nothing to wait for or to time.
    """
    if inspect.isclass(function):
        raise ConfigurationError(
            f"{guard} can't stand around the class {name_of(function)}. Decorate its methods, or "
            f"use the class wrapper {guard}Handler."
        )
    if not callable(function):
        raise ConfigurationError(f"{guard} stands around functions, not {function!r}.")
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    by_class = target if inspect.isroutine(target) else type(target).__call__
    # A decorator's plain wrapper returns what the decorated function returns.
    forms = (target, by_class, inspect.unwrap(target))
    if any(inspect.iscoroutinefunction(form) for form in forms):
        return
    generator = any(inspect.isasyncgenfunction(form) for form in forms)
    kind = "an async generator" if generator else "a plain 'def'"
    raise ConfigurationError(
        f"{guard} can't stand around {name_of(function)}, which is {kind}: policies are for async "
        f"functions. Write it as 'async def', and await in it what takes time."
    )


def check_awaitable(result: object, function: object) -> None:
    """Check that *result* of *function* can be awaited.

    Raises:
        ConfigurationError: it can't; *function* has run already.
    """
    if not inspect.isawaitable(result):
        raise ConfigurationError(
            f"{name_of(function)} returned {type(result).__name__}, nothing to await: it is no "
            f"async function. It has run once, under no policy. Write it as 'async def'."
        )


def name_of(function: Any, args: tuple[Any, ...] = ()) -> str:
    """Return how to call *function* in messages; of a guard's ``call``, what is called under it."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif args and callable(args[0]) and _is_call_of_guard(function):
            function, args = args[0], args[1:]
        else:
            break
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "")


def _is_call_of_guard(function: object) -> bool:
    owner = getattr(function, "__self__", None)
    return isinstance(owner, Guard) and getattr(function, "__name__", "") == "call"
