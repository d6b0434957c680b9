"""Policy: several guards around each other, as one."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

from headwater.errors import ConfigurationError
from headwater.resilience import blocks
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.resilience.guards import COROUTINE, Decorating, Guard, check_awaitable, remembered

P = ParamSpec("P")
T = TypeVar("T")


class Policy(Decorating):
    """Puts *guards* around each other, the first outermost: ``Policy(Retry(), CircuitBreaker())``.

    So a breaker inside a retry counts every attempt, and one outside counts what is left after
    all of them. Without guards it calls through. A policy is a guard and can stand in another.

    Use it as a decorator, by `call`, or with ``async with`` if all of its guards can be (`Retry`
    and `Fallback` can't). It is as safe to share as its guards are; those here are.

    Raises:
        ConfigurationError: something in *guards* is no `Guard`, or a class instead of an object.
    """

    def __init__(self, *guards: Guard) -> None:
        for guard in guards:
            _check_guard(guard)
        self.guards: Final = guards
        flat = [inner for guard in guards for inner in _flat(guard)]
        self._calls: tuple[Callable[..., Coroutine[Any, Any, Any]], ...] = tuple(
            guard.call for guard in flat
        )

    @property
    def breakers(self) -> tuple[CircuitBreaker, ...]:
        """The circuit breakers in it, outermost first; those of policies within it too.

        A guard of your own that has breakers says so by a property of this name.
        """
        found: list[CircuitBreaker] = []
        for guard in self.guards:
            if isinstance(guard, CircuitBreaker):
                found.append(guard)
            else:
                found.extend(cast("tuple[CircuitBreaker, ...]", getattr(guard, "breakers", ())))
        return tuple(found)

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` under all guards; return the result.

        Raises:
            CallRejectedError: a guard did not let it through.
        """
        if not self._calls:
            pending = function(*args, **kwargs)
            if type(pending) is not COROUTINE:
                check_awaitable(pending, function)
            return await pending
        # Each guard calls the next one, which is its function's first argument.
        first, *inner = self._calls
        return cast("T", await first(*inner, function, *args, **kwargs))

    async def __aenter__(self) -> None:
        """Begin a block under all guards.

        Raises:
            ConfigurationError: one of them can't stand around a block.
            CallRejectedError: a guard does not let it through.
        """
        managers = [_block_of(guard) for guard in self.guards]
        async with AsyncExitStack() as entering:
            for manager in managers:
                await entering.enter_async_context(manager)
            blocks.enter(self, entering.pop_all())

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        entered: AsyncExitStack = blocks.leave(self)
        return await entered.__aexit__(error_type, error, traceback)

    def _decorated(
        self, function: Callable[P, Awaitable[T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        if not self._calls:
            return super()._decorated(function)
        first, *inner = self._calls
        called = (*inner, function)

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return cast("T", await first(*called, *args, **kwargs))

        return remembered(guarded, self, function)


def _flat(guard: Guard) -> tuple[Guard, ...]:
    return guard.guards if type(guard) is Policy else (guard,)


def _check_guard(guard: object) -> None:
    if inspect.isclass(guard):
        raise ConfigurationError(
            f"A policy is made of objects, and {guard.__name__} is a class: write "
            f"{guard.__name__}()."
        )
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"{guard!r} is no guard: it has no 'async def call(function, *args, **kwargs)'."
        )


def _block_of(guard: Guard) -> AbstractAsyncContextManager[object]:
    if isinstance(guard, AbstractAsyncContextManager):
        return cast("AbstractAsyncContextManager[object]", guard)
    raise ConfigurationError(
        f"{type(guard).__name__} can't stand around an 'async with' block: it can't run one again, "
        f"nor give a result for it. Use 'await policy.call(function)' or decorate a function; for "
        f"retries there is 'async for attempt in Retry(): async with attempt: …' too."
    )
