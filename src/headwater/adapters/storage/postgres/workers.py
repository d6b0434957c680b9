"""What an open storage works with: its connections and tasks, and who may wait for them."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from headwater.adapters.room import Room
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.log import LogStatements
from headwater.adapters.storage.postgres.news import News
from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.readers import Readers
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.writer import Writer
from headwater.clock import Clock
from headwater.errors import ConfigurationError
from headwater.ports.storage import COMMITS_WAITING_MAX


class Workers:
    """The writer, the readers and the news of one event loop in one process."""

    def __init__(
        self,
        settings: PostgresSettings,
        clock: Clock,
        collections: Mapping[str, Collection],
        log: LogStatements,
        outbox: OutboxMover,
    ) -> None:
        self.loop, self.process = asyncio.get_running_loop(), os.getpid()
        self._where = settings.where
        self.writable = True
        self.room: Final = Room(COMMITS_WAITING_MAX)
        self.readers: Final = Readers(settings)
        self.news: Final = News(settings, clock, lambda: self.readers.run(log.head))
        self.writer: Final = Writer(settings, collections, self._done)
        self._outbox: Final = outbox

    def _done(self, taken: int, head: int) -> None:
        self.room.leave(taken)
        self.news.heard(head)

    async def close(self) -> None:
        """End the tasks once they have done what waits for them."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.readers.close)
            stack.push_async_callback(self.news.stop)
            stack.push_async_callback(self.writer.stop)
            stack.push_async_callback(self._outbox.stop)
            # Room is given in order: once it is our turn, all who came before have theirs.
            await self.room.enter()

    def abandon(self) -> None:
        """As `close`, where the event loop was closed and nobody can wait for the tasks."""
        self._outbox.abandon()
        self.writer.abandon()
        self.news.abandon()
        self.readers.abandon()

    def wrong_loop(self) -> ConfigurationError:
        """Return the error for whoever comes from another event loop."""
        advice = "Close it there and open it in this one, or use two storages."
        if self.loop.is_closed():
            advice = "That loop was closed; open the storage again in this one."
        return ConfigurationError(
            f"{self._where}: the storage was opened in another event loop. {advice}"
        )
