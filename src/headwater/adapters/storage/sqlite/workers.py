"""What an open storage works with: its threads, and who may wait for them."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

from headwater.adapters.room import Room
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.identity import FileIdentity
from headwater.adapters.storage.sqlite.news import News
from headwater.adapters.storage.sqlite.readers import Readers
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.writer import Writer
from headwater.clock import Clock
from headwater.errors import ConfigurationError
from headwater.ports.storage import COMMITS_WAITING_MAX


class Workers:
    """The writer, the readers and the news of one event loop in one process."""

    def __init__(
        self, settings: SqliteSettings, clock: Clock, collections: Mapping[str, Collection]
    ) -> None:
        self.loop, self.process = asyncio.get_running_loop(), os.getpid()
        self._path = settings.path
        self.room = Room(COMMITS_WAITING_MAX)
        identity = FileIdentity(settings.path)
        self.writer = Writer(settings, clock, collections, self._done, identity)
        self.readers = Readers(settings, identity)
        self.news = News(settings, clock)

    def _done(self, taken: int, head: int) -> None:
        self.room.leave(taken)
        self.news.heard(head)

    async def close(self) -> None:
        """End the threads once they have done what waits for them."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.writer.stop)
            stack.push_async_callback(self.readers.stop)
            stack.push_async_callback(self.news.stop)
            # Room is given in order: once it is our turn, all who came before have theirs.
            await self.room.enter()

    def abandon(self) -> None:
        """As `close`, where the event loop was closed and nobody can wait for the threads."""
        self.news.stop_soon()
        self.readers.stop_soon()
        self.writer.stop_soon()

    def wrong_loop(self) -> ConfigurationError:
        """Return the error for whoever comes from another event loop."""
        advice = "Close it there and open it in this one, or use two storages on the file."
        if self.loop.is_closed():
            advice = "That loop was closed; open the storage again in this one."
        return ConfigurationError(
            f"{self._path}: the storage was opened in another event loop. {advice}"
        )
