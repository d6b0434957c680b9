"""Class wrappers: a handler, all of whose ``handle…`` methods stand under one guard."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from headwater.errors import ConfigurationError
from headwater.resilience.bulkhead import Bulkhead
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.resilience.fallback import Fallback
from headwater.resilience.guards import Guard, check_async, name_of, remembered
from headwater.resilience.policy import Policy
from headwater.resilience.rate_limit import RateLimit
from headwater.resilience.retry import Retry
from headwater.resilience.timeouts import Timeout

H = TypeVar("H")
P = ParamSpec("P")

HANDLE: Final = "handle"
"""How the names of methods that handle something begin."""


class HandlerWrapper(Generic[P]):
    """Wraps handlers: ``RetryHandler(SendMail(smtp), attempts=3)``.

    The arguments after the handler are those of its policy, one object for all of its ``handle…``
    methods. These keep names, annotations and signatures, so that they can be registered as
    before. Of an object comes an object, which passes everything else on to the one inside; what
    that one calls of itself stands under no policy. Of a class comes a subclass of it with the
    same name, for containers that make the handler.
    """

    def __init__(self, policy: Callable[P, Guard], name: str) -> None:
        self._policy, self._name = policy, name

    def __call__(self, inner: H, /, *args: P.args, **kwargs: P.kwargs) -> H:
        """Return *inner* with its ``handle…`` methods under a policy.

        Raises:
            ConfigurationError: it has no such method, one of them is no ``async def``, or an
                argument of the policy is wrong.
        """
        guard = self._policy(*args, **kwargs)
        if inspect.isclass(inner):
            return cast("H", _subclass(inner, guard, self._name))
        methods = {name: _under(guard, getattr(inner, name), self._name) for name in _names(inner)}
        _check_any(methods, inner, self._name)
        return cast("H", _Wrapped(inner, methods))

    def __repr__(self) -> str:
        return self._name


class _Wrapped:
    """An object whose ``handle…`` methods are replaced; the others are those of the inner one."""

    def __init__(self, inner: object, methods: dict[str, Callable[..., Any]]) -> None:
        self.__dict__.update(methods)
        self.__wrapped__ = inner

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # not set yet: it is being copied
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return f"{self.__wrapped__!r} under a policy"


def _subclass(cls: type, guard: Guard, wrapper: str) -> type:
    replaced: dict[str, Any] = {}
    for name in _names(cls):
        member: Any = inspect.getattr_static(cls, name)
        if type(member) in (staticmethod, classmethod):
            replaced[name] = type(member)(_under(guard, member.__func__, wrapper))
        else:
            replaced[name] = _under(guard, member, wrapper)
    _check_any(replaced, cls, wrapper)
    named = {key: getattr(cls, key) for key in ("__module__", "__qualname__", "__doc__")}
    return types.new_class(cls.__name__, (cls,), {}, lambda body: body.update(named | replaced))


def _names(inner: object) -> list[str]:
    """Return the names of all that is callable in *inner* and named as what handles something."""
    return [n for n in dir(inner) if n.startswith(HANDLE) and callable(getattr(inner, n))]


def _under(guard: Guard, method: Callable[..., Any], wrapper: str) -> Callable[..., Any]:
    check_async(method, wrapper)
    call = guard.call

    @functools.wraps(method)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        return await call(method, *args, **kwargs)

    return remembered(guarded, guard, method)


def _check_any(methods: dict[str, Any], inner: object, wrapper: str) -> None:
    if methods:
        return
    advice = (
        f"A function is decorated: @{wrapper.removesuffix('Handler')}(…)."
        if inspect.isroutine(inner)
        else "Name the methods that handle something so."
    )
    raise ConfigurationError(
        f"{wrapper} found no method of {name_of(inner)} whose name starts with {HANDLE!r}. {advice}"
    )


RetryHandler: Final = HandlerWrapper(Retry, "RetryHandler")
CircuitBreakerHandler: Final = HandlerWrapper(CircuitBreaker, "CircuitBreakerHandler")
TimeoutHandler: Final = HandlerWrapper(Timeout, "TimeoutHandler")
BulkheadHandler: Final = HandlerWrapper(Bulkhead, "BulkheadHandler")
RateLimitHandler: Final = HandlerWrapper(RateLimit, "RateLimitHandler")
FallbackHandler: Final = HandlerWrapper(Fallback, "FallbackHandler")
PolicyHandler: Final = HandlerWrapper(Policy, "PolicyHandler")
