"""Deadline: a handler is cancelled when the deadline of its message context passes."""

import asyncio
from typing import Any

from headwater.clock import Clock, SystemClock
from headwater.errors import DeadlineExceededError
from headwater.mediator.chains import Next
from headwater.metadata import current_context


class Deadline:
    """Cancels what runs past the `deadline` of the current `MessageContext`.

    A message that comes too late is not handled at all. Without a deadline nothing is done.

    Raises:
        DeadlineExceededError: the deadline has passed; nothing was committed.
    """

    order = -400

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()

    async def __call__(self, message: object, next: Next[object, Any]) -> Any:
        context = current_context()
        deadline = context.deadline if context is not None else None
        if deadline is None:
            return await next(message)
        name = type(message).__name__
        left = (deadline - self._clock.now()).total_seconds()
        if left <= 0:
            raise DeadlineExceededError(name, deadline)
        limit = asyncio.timeout(left)
        try:
            async with limit:
                return await next(message)
        except TimeoutError as error:
            # A timeout inside of the handler is its own affair.
            if limit.expired():
                raise DeadlineExceededError(name, deadline) from error
            raise
