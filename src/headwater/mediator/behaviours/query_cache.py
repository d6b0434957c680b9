"""Query cache: the answer to an equal query, until it is old or called invalid."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec

from headwater.clock import Clock, Duration, SystemClock, seconds_of
from headwater.mediator.chains import Next
from headwater.messages import Query
from headwater.unit_of_work.unit import CURRENT_UNIT

ENTRIES_MAX: Final = 10_000


class _Entry(msgspec.Struct, eq=False):
    """An answer that is there, or is being made."""

    query: Any
    answer: asyncio.Future[Any]
    made_at: float


class QueryCache:
    """Answers a query that equals an earlier one with the earlier answer.

    Register it ``on`` the queries that may be answered so; they must be hashable, as records
    of hashable fields are. Call `invalidate` when an answer has changed. Of equal queries at
    the same time one is handled, and the others wait for it and share what comes of it. It
    keeps *entries_max* answers, those used last, each for at most *ttl*; failures it doesn't
    keep, nor streams. All callers get the same object, so answers should be immutable.

    Inside a command it stands aside: there a query sees what is not committed yet.

    *key* tells apart what the query itself doesn't, such as the tenant of the context.
    """

    order = -100

    def __init__(
        self,
        *,
        entries_max: int = ENTRIES_MAX,
        ttl: Duration | None = None,
        key: Callable[[Any], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._entries: OrderedDict[object, _Entry] = OrderedDict()
        self._entries_max = entries_max
        self._ttl = seconds_of(ttl) if ttl is not None else None
        self._key = key
        self._clock: Clock = clock or SystemClock()

    async def __call__(self, query: Query[Any], next: Next[Query[Any], Any]) -> Any:
        unit = CURRENT_UNIT.get()
        if unit is not None and not unit.reads_only:
            return await next(query)
        key = (type(query), query, self._key(query) if self._key is not None else None)
        while True:
            entry = self._entries.get(key)
            if entry is None or self._is_old(entry):
                return await self._handle(key, query, next)
            self._entries.move_to_end(key)
            if not entry.answer.done():
                await asyncio.wait([entry.answer])
            # If whoever was handling it was cancelled, somebody who waited does it.
            if not entry.answer.cancelled():
                return entry.answer.result()

    def invalidate(self, query: Query[Any]) -> None:
        """Forget the answer to *query*; one that is being made now is not kept."""
        self.invalidate_where(type(query), lambda known: bool(known == query))

    def invalidate_where(
        self,
        query_type: type[Query[Any]] | None = None,
        matches: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        """Forget the answers to queries of *query_type* (None: of any) that *matches*."""
        for key, entry in list(self._entries.items()):
            query: Any = entry.query
            if (query_type is None or isinstance(query, query_type)) and matches(query):
                del self._entries[key]

    def _is_old(self, entry: _Entry) -> bool:
        return self._ttl is not None and self._clock.monotonic() - entry.made_at >= self._ttl

    async def _handle(self, key: object, query: Query[Any], next: Next[Query[Any], Any]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entry = self._entries[key] = _Entry(query, answer, self._clock.monotonic())
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
        try:
            result = await next(query)
        except Exception as error:
            self._forget(key, entry)
            answer.set_exception(error)
            answer.exception()  # looked at: there may be nobody who waits
            raise
        except BaseException:
            self._forget(key, entry)
            answer.cancel()
            raise
        if hasattr(result, "__anext__"):
            self._forget(key, entry)
            answer.cancel()
        else:
            answer.set_result(result)
        return result

    def _forget(self, key: object, entry: _Entry) -> None:
        if self._entries.get(key) is entry:
            del self._entries[key]
