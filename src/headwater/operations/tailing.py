"""Follows a log as it grows, and shows its end."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from headwater.ports.log import LogFilter, StoredEvent
from headwater.ports.storage import Storage

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the log is looked at anyway."""

PAGE_EVENTS: Final = 500
LOOK_BACK_POSITIONS: Final = 500
"""How far back the last events are looked for at first."""


async def tail_log(
    storage: Storage, *, after: int, where: LogFilter, follow: bool
) -> AsyncIterator[StoredEvent]:
    """Yield the matching events past position *after*, as they are stored.

    It ends at the head that it comes to; with *follow* it waits there for more and never ends.

    Raises:
        LogRewoundError: the log is no longer the one that was read.
        StorageError: the storage can't be read.
    """
    after_id: bytes | None = None
    while True:
        page = await storage.read_log(
            after=after, after_id=after_id, where=where, limit=PAGE_EVENTS
        )
        for event in page.events:
            yield event
        after, after_id = page.scanned_to, page.event_id
        if after >= page.head:
            if not follow:
                return
            await storage.wait_for_news(after, seconds=NEWS_SECONDS)


async def last_events(storage: Storage, *, where: LogFilter, limit: int) -> Sequence[StoredEvent]:
    """Return the last *limit* matching events of the log, ascending; fewer if there are no more.

    Raises:
        StorageError: the storage can't be read.
    """
    head = await storage.head()
    looked_at = max(limit, LOOK_BACK_POSITIONS)
    while True:
        after = max(0, head - looked_at)
        found = deque[StoredEvent](maxlen=limit)
        async for event in tail_log(storage, after=after, where=where, follow=False):
            found.append(event)
        if len(found) == limit or after == 0:
            return tuple(found)
        # Matches are rare or erased; what was looked at is looked at again, a fourth at most.
        looked_at *= 4
