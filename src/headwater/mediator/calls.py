"""Built calls: a call plan turned into something that takes a message and can be awaited."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from headwater.mediator.injection import (
    Bound,
    CallPlan,
    Constant,
    Constants,
    FromApp,
    FromMessage,
    FromRequest,
    Made,
    Source,
)
from headwater.mediator.scopes import current_scope
from headwater.mediator.signatures import Kind, function_of
from headwater.mediator.threads import WorkerThreads

AsyncFunction = Callable[..., Coroutine[Any, Any, Any]]


class _Fetched(msgspec.Struct, frozen=True):
    """Given anew for each message, and awaited."""

    fetch: Callable[[], Awaitable[Any]]


_Getter = Constant | FromMessage | _Fetched


def build(plan: CallPlan, constants: Constants, threads: WorkerThreads) -> AsyncFunction:
    """Return what calls *plan*'s target with its dependencies added.

    It takes what the caller gives by position and returns an awaitable; for an async
    generator, an awaitable of the generator. All of *plan*'s needs must have been got.
    """
    function = plan.signature.target
    arguments = _Arguments(plan.sources, constants)
    owner = _getter(plan.owner, constants) if plan.owner is not None else None
    if isinstance(owner, Constant):
        function, owner = getattr(owner.value, function.__name__), None
    called = _awaitable(function, plan, threads)
    if owner is not None:
        arguments.put_first(owner)
    return arguments.added_to(called)


class _Arguments:
    """The dependencies of one callable; `first` is the object that its method is called on."""

    def __init__(self, sources: Sequence[Bound], constants: Constants) -> None:
        self._first: list[_Getter] = []
        self._positional = [_getter(b.source, constants) for b in sources if not b.keyword_only]
        self._keywords = {b.name: _getter(b.source, constants) for b in sources if b.keyword_only}

    def put_first(self, owner: _Getter) -> None:
        self._first = [owner]

    def added_to(self, function: AsyncFunction) -> AsyncFunction:
        """Return *function* called with these; the cheapest form that can give them all."""
        getters = [*self._first, *self._positional, *self._keywords.values()]
        if not getters:
            return function
        if all(isinstance(getter, Constant) for getter in getters):
            return self._added_as_constants(function)
        if any(isinstance(getter, _Fetched) for getter in getters):
            return self._added_after_fetching(function)
        return self._added_per_message(function)

    def made(self, cls: type, constants: Constants) -> _Getter:
        """Return what gives an object of *cls*, made with these."""
        getters = [*self._positional, *self._keywords.values()]
        if all(isinstance(getter, Constant) for getter in getters):
            return Constant(constants.made(cls, lambda: cls(*self._given(), **self._named())))
        if any(isinstance(getter, _Fetched) for getter in getters):
            return _Fetched(self._added_after_fetching(_made_of(cls)))
        return FromMessage(lambda: cls(*self._given(), **self._named()))

    def _added_as_constants(self, function: AsyncFunction) -> AsyncFunction:
        values, named = self._given(), self._named()

        def call(*given: Any) -> Coroutine[Any, Any, Any]:
            return function(*given, *values, **named)

        return call

    def _added_per_message(self, function: AsyncFunction) -> AsyncFunction:
        def call(*given: Any) -> Coroutine[Any, Any, Any]:
            first = [_now(getter) for getter in self._first]
            return function(*first, *given, *self._given(), **self._named())

        return call

    def _added_after_fetching(self, function: AsyncFunction) -> AsyncFunction:
        first, positional, keywords = self._first, self._positional, self._keywords

        async def call(*given: Any) -> Any:
            owner = [await _soon(getter) for getter in first]
            values = [await _soon(getter) for getter in positional]
            named = {name: await _soon(getter) for name, getter in keywords.items()}
            return await function(*owner, *given, *values, **named)

        return call

    def _given(self) -> list[Any]:
        return [_now(getter) for getter in self._positional]

    def _named(self) -> dict[str, Any]:
        return {name: _now(getter) for name, getter in self._keywords.items()}


def _getter(source: Source, constants: Constants) -> _Getter:
    match source:
        case Constant() | FromMessage():
            return source
        case FromApp():
            return Constant(constants[source.key])
        case FromRequest():
            key = source.key
            return _Fetched(lambda: current_scope().get(key))
        case Made():
            return _Arguments(source.sources, constants).made(source.cls, constants)


def _now(getter: Constant | FromMessage) -> Any:
    return getter.give() if isinstance(getter, FromMessage) else getter.value


async def _soon(getter: _Getter) -> Any:
    return await getter.fetch() if isinstance(getter, _Fetched) else _now(getter)


def _made_of(cls: type) -> AsyncFunction:
    async def make(*values: Any, **named: Any) -> Any:
        return cls(*values, **named)

    return make


def _awaitable(
    function: Callable[..., Any], plan: CallPlan, threads: WorkerThreads
) -> AsyncFunction:
    """Return *function* as something to be awaited, however it was written."""
    kind = plan.signature.kind
    if kind is Kind.ASYNC:
        if inspect.iscoroutinefunction(function_of(function)):
            return function

        # A decorator's plain wrapper may return any awaitable; a task takes only coroutines.
        async def awaited(*given: Any, **named: Any) -> Any:
            return await function(*given, **named)

        return awaited
    if kind is Kind.SYNC and not plan.inline:

        async def in_thread(*given: Any, **named: Any) -> Any:
            return await threads.run(function, *given, **named)

        return in_thread

    # An async generator is only made here, so nothing of its body runs yet.
    async def here(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return here
