"""Threads that read, each on a connection of its own."""

import asyncio
import sqlite3
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

from headwater.adapters.storage.sqlite.connections import open_reader
from headwater.adapters.storage.sqlite.failures import translated
from headwater.adapters.storage.sqlite.identity import FileIdentity
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.threads import answer

_Result = TypeVar("_Result")
Read: TypeAlias = Callable[[sqlite3.Cursor], _Result]


class Readers:
    """Does reads in turn, as many at once as there are threads.

    A read is one statement, which sees one moment; nothing is held open while the caller works
    on what came out.
    """

    def __init__(self, settings: SqliteSettings, identity: FileIdentity) -> None:
        self._settings, self._identity = settings, identity
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Read[Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._ended: list[asyncio.Future[None]] = []

    def start(self) -> None:
        """Start the threads; they connect by themselves."""
        for number in range(self._settings.readers):
            ended: asyncio.Future[None] = self._loop.create_future()
            self._ended.append(ended)
            name = f"headwater-reader-{number}-{self._settings.path.name}"
            Thread(target=self._main, args=(ended,), name=name, daemon=True).start()

    async def run(self, read: Read[_Result]) -> _Result:
        """Return what *read* returns.

        Raises:
            StorageError: the file can't be read; the error says why.
        """
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put((read, future))
        return await future

    async def stop(self) -> None:
        """Finish the reads that wait, then close the connections and end the threads."""
        self.stop_soon()
        for ended in self._ended:
            await asyncio.shield(ended)

    def stop_soon(self) -> None:
        """As `stop`, for those who can't wait because the event loop was closed."""
        for _ in self._ended:
            self._queue.put(None)

    def _main(self, ended: asyncio.Future[None]) -> None:
        connection: sqlite3.Connection | None = None
        while (item := self._queue.get()) is not None:
            read, future = item
            if future.cancelled():
                continue
            outcome: object
            try:
                self._identity.check()
                connection = connection or open_reader(self._settings)
                outcome = read(connection.cursor())
            except Exception as error:  # noqa: BLE001 - the caller gets it
                seconds = self._settings.busy_seconds
                outcome = translated(error, self._settings.path, busy_seconds=seconds)
                if outcome is not error:
                    outcome.__cause__ = error
            answer(self._loop, future, outcome)
        if connection is not None:
            connection.close()
        answer(self._loop, ended, None)
