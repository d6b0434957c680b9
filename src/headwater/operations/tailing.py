"""Follows a log as it grows."""

from collections.abc import AsyncIterator
from typing import Final

from headwater.ports.log import LogFilter, StoredEvent
from headwater.ports.storage import Storage

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the log is looked at anyway."""

PAGE_EVENTS: Final = 500


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
