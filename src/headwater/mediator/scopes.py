"""Request scopes: entered where a plan needs one, joined by the messages sent inside."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from headwater.ports.container import Container, RequestScope

Call = Callable[[Any], Coroutine[Any, Any, Any]]
"""Handles one message."""


_NOTHING: Final[Mapping[Any, Any]] = {}


class OpenScope(msgspec.Struct, eq=False):
    """A request scope of *container* that is open now.

    *unit* is what the scope belongs to besides its container: messages join only within one
    unit of work, because what was made for an attempt that failed must not reach the next.
    *sharing* is there once several messages use the scope.
    """

    container: Container
    scope: RequestScope
    unit: object
    closed: bool = False
    sharing: asyncio.Lock | None = None

    def get(self, key: Any) -> Awaitable[Any]:
        """Return the dependency of *key*; calls of messages that share the scope queue up."""
        sharing = self.sharing
        return self.scope.get(key) if sharing is None else self._get_in_turn(sharing, key)

    def share(self) -> None:
        """Make room for another message, which may run in parallel to the first."""
        if self.sharing is None:
            self.sharing = asyncio.Lock()

    async def _get_in_turn(self, sharing: asyncio.Lock, key: Any) -> Any:
        async with sharing:
            return await self.scope.get(key)


CURRENT_SCOPE: Final[ContextVar[OpenScope | None]] = ContextVar(
    "headwater_request_scope", default=None
)


class Scopes:
    """Opens request scopes of *container*, with the values that each message brings.

    *unit* returns what a scope belongs to, see `OpenScope`.
    """

    def __init__(
        self,
        container: Container,
        values: Mapping[Any, Callable[[], Any]],
        unit: Callable[[], object],
    ) -> None:
        self.container = container
        self._values = dict(values)
        self.unit = unit

    def around(self, call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Return *call* with a scope given first: the one around it, or one of its own."""
        request, unit, brought = self.container.request, self.unit, self._brought

        async def in_scope(*given: Any) -> Any:
            around = CURRENT_SCOPE.get()
            if around is not None and self.may_join(around):
                around.share()
                return await call(around, *given)
            async with request(brought() if self._values else _NOTHING) as scope:
                opened = OpenScope(self.container, scope, unit())
                token = CURRENT_SCOPE.set(opened)
                try:
                    return await call(scope, *given)
                finally:
                    opened.closed = True
                    CURRENT_SCOPE.reset(token)

        return in_scope

    def around_handler(self, handler: Callable[..., Coroutine[Any, Any, Any]], key: Any) -> Call:
        """Return `around` of a handler whose only dependency is that of *key*.

        The same in one coroutine less, because this is how most handlers look.
        """
        container, request, unit, brought = (
            self.container,
            self.container.request,
            self.unit,
            self._brought,
        )
        current, enter, leave = CURRENT_SCOPE.get, CURRENT_SCOPE.set, CURRENT_SCOPE.reset

        async def in_scope(message: Any) -> Any:
            around = current()
            if around is not None and self.may_join(around):
                around.share()
                return await handler(message, await around.get(key))
            async with request(brought() if self._values else _NOTHING) as scope:
                opened = OpenScope(container, scope, unit())
                token = enter(opened)
                try:
                    return await handler(message, await scope.get(key))
                finally:
                    opened.closed = True
                    leave(token)

        return in_scope

    def apart(self, call: Call) -> Call:
        """Return *call* in no scope: what needs one opens its own, though one be around."""

        async def apart(message: Any) -> Any:
            token = CURRENT_SCOPE.set(None)
            try:
                return await call(message)
            finally:
                CURRENT_SCOPE.reset(token)

        return apart

    def around_stream(self, opened: Call) -> Call:
        """Return what opens the generator of *opened* in a scope that stays open with it."""

        async def open(message: Any) -> AsyncGenerator[Any, None]:
            return self._items(opened, message)

        return open

    async def _items(self, opened: Call, message: Any) -> AsyncGenerator[Any, None]:
        async with self.container.request(self._brought()) as scope:
            # A stream's context is its own, so that there is nothing to set back.
            CURRENT_SCOPE.set(OpenScope(self.container, scope, self.unit()))
            async with aclosing(await opened(message)) as items:
                async for item in items:
                    yield item

    def _brought(self) -> dict[Any, Any]:
        """Return the values that the current message brings to its scope."""
        return {key: give() for key, give in self._values.items()}

    def may_join(self, around: OpenScope) -> bool:
        """Return whether a message here may use the scope *around* it."""
        return (
            not around.closed and around.container is self.container and around.unit is self.unit()
        )
