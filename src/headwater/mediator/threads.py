"""Worker threads for handlers that are written as plain ``def``."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThreads:
    """At most *threads_max* threads, started when they are first needed; the rest queues up."""

    def __init__(self, threads_max: int) -> None:
        self._threads_max = threads_max
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[..., T], *args: Any, **keywords: Any) -> T:
        """Return what *function* returns; it runs in a thread with the caller's context.

        A thread can't be interrupted: when the caller is cancelled, the cancellation goes on
        once the function has ended, so that it never outlives what it was handed. If it has
        not begun, it never will.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads_max, "headwater-handler")
        context = copy_context()
        work = self._pool.submit(context.run, function, *args, **keywords)
        waiting = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if not work.cancel():
                await _end_of(work)
            raise

    def close(self) -> None:
        """Let the threads end when they have nothing left to do."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


async def _end_of(work: Future[Any]) -> None:
    """Wait until *work* has ended, however often the waiting is cancelled."""
    ended = asyncio.wrap_future(work)
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            continue
    if not ended.cancelled():
        ended.exception()  # looked at: the cancellation is what the caller gets
