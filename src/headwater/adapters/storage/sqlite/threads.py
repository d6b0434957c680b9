"""Answers from worker threads to those who wait on the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any


def on_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    """Have *loop* make a call soon; nothing happens if it was closed, for nobody waits then."""
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def settle(future: asyncio.Future[Any], outcome: object) -> None:
    """Give *outcome* to whoever waits for *future*, raised if it is an exception."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def answer(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], outcome: object) -> None:
    """Settle *future* on its *loop*, from another thread."""
    on_loop(loop, settle, future, outcome)
