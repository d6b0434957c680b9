"""Lines: contenders for one stream or row in this process take turns after a conflict."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar

from headwater.errors import (
    ConcurrencyError,
    ConflictError,
    RowConflictError,
    TagConditionError,
)

_standing: ContextVar[bool] = ContextVar("headwater_standing_in_line", default=False)


class Lines:
    """Gives places in the line for whatever a conflict was about.

    Without them 256 commands on one stream would all run again after each conflict, and all
    but one would conflict again; in line each needs one more run.
    """

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._lengths: dict[str, int] = {}

    def place_for(self, conflict: ConflictError) -> AbstractAsyncContextManager[None]:
        """Return the place to hold during the next try."""
        # Whoever holds a place does not queue in a second line: two who hold what the other
        # waits for would wait for ever.
        if _standing.get():
            return nullcontext()
        return self._place(_contended(conflict))

    @asynccontextmanager
    async def _place(self, contended: str) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(contended, asyncio.Lock())
        self._lengths[contended] = self._lengths.get(contended, 0) + 1
        token = _standing.set(True)
        try:
            async with lock:
                yield
        finally:
            _standing.reset(token)
            self._lengths[contended] -= 1
            if not self._lengths[contended]:
                del self._lengths[contended], self._locks[contended]


def _contended(conflict: ConflictError) -> str:
    match conflict:
        case ConcurrencyError():
            return f"stream {conflict.stream_id}"
        case RowConflictError():
            return f"row {conflict.key} of {conflict.collection}"
        case TagConditionError():
            return f"tags {conflict.tags}"
        case _:
            return type(conflict).__name__
