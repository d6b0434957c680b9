"""Built calls: a call plan turned into something that takes a message and can be awaited."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from operator import methodcaller
from types import MethodType
from typing import Any

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
from headwater.mediator.scopes import Scopes
from headwater.mediator.signatures import Kind, function_of
from headwater.mediator.threads import WorkerThreads
from headwater.ports.container import RequestScope
from headwater.resilience.guards import taken_off

AsyncFunction = Callable[..., Coroutine[Any, Any, Any]]
Give = Callable[[], Any]
Fetch = Callable[[RequestScope], Awaitable[Any]]


def build(
    plan: CallPlan, constants: Constants, *, threads: WorkerThreads, scopes: Scopes | None
) -> AsyncFunction:
    """Return what calls *plan*'s target with its dependencies added.

    It takes what the caller gives by position and returns a coroutine; for an async
    generator, a coroutine of the generator. All of *plan*'s needs must have been got. What
    needs a request scope joins the one around it, or opens one.
    """
    function = plan.signature.target
    only = plan.sources[0].source if len(plan.sources) == 1 else None
    if isinstance(only, FromRequest) and scopes is not None and _is_simple(plan):
        return scopes.around_handler(_awaitable(function, plan, threads), only.key)
    arguments = _Arguments(plan.sources, constants, scopes)
    if plan.owner is not None:
        owner = _Arguments([Bound("self", plan.owner, False)], constants, scopes)
        if owner.constant:
            made = owner.now()[0]
            method = getattr(made, function.__name__)
            # Its guards are taken off: they are the plan's policy.
            guards, _ = taken_off(getattr(method, "__func__", method))
            function = MethodType(function, made) if guards else method
        else:
            return owner.put_first(arguments.added_to(_awaitable(function, plan, threads)))
    return arguments.added_to(_awaitable(function, plan, threads))


class _Arguments:
    """The dependencies of one callable, given in the cheapest form that can give them all.

    Constants are in place from the beginning; what is given per message, or fetched from the
    request scope, is put in its place for each call.
    """

    def __init__(
        self, sources: Sequence[Bound], constants: Constants, scopes: Scopes | None
    ) -> None:
        self._scopes = scopes
        self._values: list[Any] = []
        self._give: list[tuple[int, Give]] = []
        self._fetch: list[tuple[int, Fetch]] = []
        self._names = tuple(bound.name for bound in sources if bound.keyword_only)
        for bound in sorted(sources, key=lambda bound: bound.keyword_only):
            self._add(bound.source, constants)

    def _add(self, source: Source, constants: Constants) -> None:
        place = len(self._values)
        self._values.append(None)
        match source:
            case Constant():
                self._values[place] = source.value
            case FromApp():
                self._values[place] = constants[source.key]
            case FromMessage():
                self._give.append((place, source.give))
            case FromRequest():
                self._fetch.append((place, methodcaller("get", source.key)))
            case Made():
                self._add_made(place, source, constants)

    def _add_made(self, place: int, source: Made, constants: Constants) -> None:
        parts = _Arguments(source.sources, constants, self._scopes)
        make = _by_name(source.cls, parts._names)
        if parts.constant:
            self._values[place] = constants.made(source.cls, lambda: make(*parts.now()))
        elif parts._fetch:
            self._fetch.append((place, parts.after_fetching(make)))
        else:
            self._give.append((place, lambda: make(*parts.now())))

    @property
    def constant(self) -> bool:
        """Whether these are the same for every call."""
        return not (self._give or self._fetch)

    def now(self) -> list[Any]:
        """Return the values for one call; what is fetched is still missing."""
        values = self._values.copy()
        for place, give in self._give:
            values[place] = give()
        return values

    def after_fetching(self, make: Callable[..., Any]) -> Fetch:
        """Return what fetches what is missing and returns what *make* makes of all."""

        async def fetch(scope: RequestScope) -> Any:
            values = self.now()
            for place, get in self._fetch:
                values[place] = await get(scope)
            return make(*values)

        return fetch

    def added_to(self, function: AsyncFunction) -> AsyncFunction:
        """Return *function* called with these after what the caller gives by position."""
        if not self._values:
            return function
        function = _by_name(function, self._names)
        if self._fetch and self._scopes is not None:
            return self._fetched_for(function, self._scopes)
        if self._give:
            return lambda *given: function(*given, *self.now())
        values = self._values
        return lambda *given: function(*given, *values)

    def put_first(self, function: AsyncFunction) -> AsyncFunction:
        """Return *function* called with the first of these before what the caller gives."""
        return self.added_to(lambda *given: function(given[-1], *given[:-1]))

    def _fetched_for(self, function: AsyncFunction, scopes: Scopes) -> AsyncFunction:
        now, fetch = self.now, self._fetch

        async def call(scope: RequestScope, *given: Any) -> Any:
            values = now()
            for place, get in fetch:
                values[place] = await get(scope)
            return await function(*given, *values)

        return scopes.around(call)


def _is_simple(plan: CallPlan) -> bool:
    """Return whether *plan* calls a function with a message and dependencies by position."""
    by_position = not any(bound.keyword_only for bound in plan.sources)
    return plan.owner is None and plan.signature.leading == 1 and by_position


def _by_name(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Return *function* with its last positional arguments handed on under *names*."""
    if not names:
        return function
    count = len(names)
    return lambda *given: function(*given[:-count], **dict(zip(names, given[-count:], strict=True)))


def _awaitable(
    function: Callable[..., Any], plan: CallPlan, threads: WorkerThreads
) -> AsyncFunction:
    """Return *function* as one that returns a coroutine, however it was written."""
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
