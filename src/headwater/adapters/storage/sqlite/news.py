"""Tells waiting readers that the log has grown, also by another process."""

import asyncio
import sqlite3
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from headwater.adapters.storage.sqlite.connections import open_reader
from headwater.adapters.storage.sqlite.log import select_head
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.threads import answer, on_loop
from headwater.clock import Clock
from headwater.errors import StorageClosedError

_WAIT: Final = True
_STOP: Final = False


class News:
    """Knows the newest head that this process has heard of, and who waits for a later one.

    Commits of this process come in through `heard`. Those of others are looked for by a thread,
    which asks SQLite for its `data_version` at an interval as long as somebody waits: that
    reads a counter in shared memory and no page of the file.
    """

    def __init__(self, settings: SqliteSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._loop = asyncio.get_running_loop()
        self.head = 0
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._anybody = False
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Start the thread; it connects when somebody waits."""
        name = f"headwater-news-{self._settings.path.name}"
        Thread(target=self._main, name=name, daemon=True).start()

    async def stop(self) -> None:
        """Tell those who wait that the storage is closed, and end the thread."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(StorageClosedError("The storage was closed."))
        self.stop_soon()
        await asyncio.shield(self._ended)

    def stop_soon(self) -> None:
        """End the thread without waiting for it."""
        self._calls.put(_STOP)

    def heard(self, head: int) -> None:
        """Wake those who wait for a position below *head*."""
        if head <= self.head:
            return
        self.head = head
        for future, after in self._waiting.items():
            if after < head and not future.done():
                future.set_result(None)

    def correct(self, heard: int, head: int) -> None:
        """Take *head*, read after *heard* was the newest one, if the log was rewound meanwhile.

        Whoever waits would else be woken at once, again and again, until the log has come there.
        """
        if head < heard == self.head:
            self.head = head

    async def wait(self, after: int, seconds: float) -> None:
        """Return when the head has passed *after*, or *seconds* of the clock have gone by.

        Raises:
            StorageClosedError: the storage was closed meanwhile.
        """
        if self.head > after:
            return
        news: asyncio.Future[None] = self._loop.create_future()
        self._waiting[news] = after
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        if not self._anybody:
            self._anybody = True
            self._calls.put(_WAIT)
        try:
            await asyncio.wait({news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            del self._waiting[news]
            self._anybody = bool(self._waiting)
        if news.done():
            news.result()

    # ----------------------------------------------------------------- on the news' own thread

    def _main(self) -> None:
        connection: sqlite3.Connection | None = None
        seen = -1
        interval: float | None = None
        while True:
            with suppress(Empty):
                if self._calls.get(timeout=interval) is _STOP:
                    break
            # A failure here is met again, and told, by whoever reads the log.
            with suppress(sqlite3.Error):
                connection = connection or open_reader(self._settings)
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    seen = version
                    on_loop(self._loop, self.heard, select_head(connection.cursor()))
            interval = self._settings.news_seconds / 2 if self._anybody else None
        if connection is not None:
            connection.close()
        answer(self._loop, self._ended, None)
