"""Lists the streams of a storage, however many there are."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from headwater.ports.log import StreamInfo
from headwater.ports.storage import Storage

STREAMS_PAGE: Final = 1000
"""How many streams are read at a time."""


async def all_streams(storage: Storage, *, after: str = "") -> AsyncIterator[Sequence[StreamInfo]]:
    """Yield the streams that sort after *after*, internal ones too, by name and page by page."""
    while True:
        page = await storage.read_streams(after=after, internal=True, limit=STREAMS_PAGE)
        if page:
            yield page
        if len(page) < STREAMS_PAGE:
            return
        after = page[-1].stream_id
