"""Authorization: asks before each request whether the actor may send it."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from headwater.errors import NotAuthorizedError
from headwater.mediator.chains import Next
from headwater.metadata import MessageContext, current_context

Check = Callable[[Any, MessageContext | None], bool | Awaitable[bool]]


class Authorization:
    """Lets a request through if *check* says yes to it and the current context.

    *check* may be async; it may raise a refusal of its own. Register it ``on`` the requests
    that it is meant for.

    Raises:
        NotAuthorizedError: *check* says no.
    """

    order = -300

    def __init__(self, check: Check) -> None:
        self._check = check

    async def __call__(self, message: object, next: Next[object, Any]) -> Any:
        context = current_context()
        allowed = self._check(message, context)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise NotAuthorizedError(type(message), context.actor if context else None)
        return await next(message)
