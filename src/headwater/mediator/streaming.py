"""Streams: the answer of an async generator, closed when its reader stops early."""

import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing
from contextvars import Context
from typing import Any, Generic, TypeVar

from headwater.mediator.scopes import Call

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Ended = Callable[[], Awaitable[None]]
"""Called at the end of a stream; what it raises, the reader gets."""


class Stream(AsyncIterator[T_co], Generic[T_co]):
    """The items of a stream handler, one by one.

    The handler starts with the first item. It is closed at the end, on an error or a
    cancellation, by `aclose`, at the end of an ``async with`` block, and when the last
    reference to the stream goes, as after a ``break``; then the event loop does it soon, so
    use ``async with`` where that is too late.

    The handler's context variables are its own: what it sets, the reader doesn't see.
    """

    def __init__(self, items: AsyncGenerator[T_co, None], context: Context) -> None:
        self._items, self._context = items, context

    def __aiter__(self) -> "Stream[T_co]":
        return self

    def __anext__(self) -> Awaitable[T_co]:
        """Return the next item."""
        return in_context(self._context, self._items.__anext__())

    async def aclose(self) -> None:
        """Close the handler; nothing comes after that. Idempotent."""
        await in_context(self._context, self._items.aclose())

    async def __aenter__(self) -> "Stream[T_co]":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


async def items_of(opened: Call, message: Any, ended: Ended) -> AsyncGenerator[Any, None]:
    """Yield the items of the generator that *opened* gives for *message*; then close it.

    Then call *ended*, also if the reader stops early, not if the handler raises.
    """
    try:
        async with aclosing(await opened(message)) as items:
            async for item in items:
                yield item
    except GeneratorExit:
        await ended()
        raise
    await ended()


async def nothing_more() -> None:
    """Do nothing at the end of a stream."""


@types.coroutine
def in_context(context: Context, awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """Await *awaitable* step by step, each step in *context*, in the task that awaits this.

    A generator otherwise runs in whatever context its reader has at each item.
    """
    steps: Any = awaitable.__await__()
    step, value = steps.send, None
    while True:
        try:
            waits_for = context.run(step, value)
        except StopIteration as ended:
            result: T = ended.value
            return result
        try:
            step, value = steps.send, (yield waits_for)
        except GeneratorExit:
            context.run(steps.close)
            raise
        except BaseException as error:  # noqa: BLE001 - thrown into whoever waits inside
            step, value = steps.throw, error
