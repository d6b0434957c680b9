"""Request scopes: entered where a plan needs one, joined by the messages sent inside."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Final

from headwater.ports.container import Container, RequestScope

Call = Callable[[Any], Coroutine[Any, Any, Any]]
"""Handles one message."""


class OpenScope:
    """A request scope of *container* that is open now.

    *unit* is what the scope belongs to besides its container: messages join only within one
    unit of work, because what was made for an attempt that failed must not reach the next.
    """

    __slots__ = ("_scope", "_sharing", "closed", "container", "unit")

    def __init__(self, container: Container, scope: RequestScope, unit: object) -> None:
        self.container, self.unit = container, unit
        self.closed = False
        self._scope = scope
        self._sharing: asyncio.Lock | None = None

    def get(self, key: Any) -> Awaitable[Any]:
        """Return the dependency of *key*; calls of messages that share the scope queue up."""
        sharing = self._sharing
        return self._scope.get(key) if sharing is None else self._get_in_turn(sharing, key)

    def share(self) -> None:
        """Make room for another message, which may run in parallel to the first."""
        if self._sharing is None:
            self._sharing = asyncio.Lock()

    async def _get_in_turn(self, sharing: asyncio.Lock, key: Any) -> Any:
        async with sharing:
            return await self._scope.get(key)


CURRENT_SCOPE: Final[ContextVar[OpenScope | None]] = ContextVar(
    "headwater_request_scope", default=None
)


def current_scope() -> OpenScope:
    """Return the open scope; there is one wherever a plan said that it needs one."""
    scope = CURRENT_SCOPE.get()
    if scope is None:
        raise LookupError("no request scope is open")
    return scope


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
        self._unit = unit

    def around(self, call: Call, *, join: bool) -> Call:
        """Return *call* in a scope of its own, or in the surrounding one with *join*."""
        container, unit = self.container, self._unit

        async def in_scope(message: Any) -> Any:
            if join and (around := self._joinable()) is not None:
                around.share()
                return await call(message)
            async with container.request(self.values()) as scope:
                opened = OpenScope(container, scope, unit())
                token = CURRENT_SCOPE.set(opened)
                try:
                    return await call(message)
                finally:
                    opened.closed = True
                    CURRENT_SCOPE.reset(token)

        return in_scope

    def around_stream(self, opened: Call) -> Call:
        """Return what opens the generator of *opened* in a scope that stays open with it."""

        async def open(message: Any) -> AsyncGenerator[Any, None]:
            return self._items(opened, message)

        return open

    async def _items(self, opened: Call, message: Any) -> AsyncGenerator[Any, None]:
        async with self.container.request(self.values()) as scope:
            # A stream's context is its own, so that there is nothing to set back.
            CURRENT_SCOPE.set(OpenScope(self.container, scope, self._unit()))
            async with aclosing(await opened(message)) as items:
                async for item in items:
                    yield item

    def values(self) -> dict[Any, Any]:
        """Return what the current message brings to its scope."""
        return {key: give() for key, give in self._values.items()} if self._values else {}

    def _joinable(self) -> OpenScope | None:
        around = CURRENT_SCOPE.get()
        if (
            around is None
            or around.closed
            or around.container is not self.container
            or around.unit is not self._unit()
        ):
            return None
        return around
