"""The file that a storage works on: opened in one event loop of one process, and closed."""

import asyncio
import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from headwater.adapters.storage.sqlite import collections
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.readers import Read
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.workers import Workers
from headwater.clock import Clock, SystemClock
from headwater.errors import ConfigurationError, ForkedProcessError, StorageClosedError
from headwater.ports.storage import Capabilities

CLOSED: Final = "The storage is not open, or was closed meanwhile: nothing was done."

_SYSTEM_CLOCK: Final = SystemClock()
_Result = TypeVar("_Result")


class SqliteFile:
    """The part of `SqliteStorage` that opens and closes it, and knows its workers."""

    def __init__(
        self, settings: SqliteSettings | Path | str, *, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        """Use the file that *settings* name; nothing is touched before `open`."""
        if not isinstance(settings, SqliteSettings):
            settings = SqliteSettings(Path(settings))
        self.settings = settings
        self._clock: Final = clock
        self._collections: Final[dict[str, Collection]] = {}
        self._open: Workers | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """It outlives the process and is shared between processes."""
        return Capabilities(durable=True, shared=True, news_seconds=self.settings.news_seconds)

    async def open(self) -> None:
        """Open the file, made or migrated if need be, and start the threads that work on it.

        A relative path is from then on that of this file, wherever the process goes.

        Raises:
            ConfigurationError: it is open in another event loop, which was not closed.
        """
        self._check_process()
        async with self._one_at_a_time():
            if self._mine() is not None:
                return
            if not self.settings.path.is_absolute():
                path = await asyncio.to_thread(self.settings.path.absolute)
                self.settings = msgspec.structs.replace(self.settings, path=path)
            opened = Workers(self.settings, self._clock, self._collections)
            stored = await opened.writer.start(collections.stored_collections)
            self._collections.clear()
            self._collections.update({one.spec.name: one for one in stored})
            opened.readers.start()
            opened.news.start()
            self._open = opened

    async def close(self) -> None:
        """Finish the commits and reads that wait, end the threads and close the file.

        Raises:
            ConfigurationError: it is open in another event loop, which was not closed.
        """
        self._check_process()
        async with self._one_at_a_time():
            opened = self._mine()
            self._open = None
            if opened is not None:
                await opened.close()

    # ------------------------------------------------------------------- for the other parts

    async def _read(self, read: Read[_Result]) -> _Result:
        return await self._opened().readers.run(read)

    def _opened(self) -> Workers:
        opened = self._open
        if opened is None:
            raise StorageClosedError(CLOSED)
        self._check_process()
        if opened.loop is not asyncio.get_running_loop():
            raise opened.wrong_loop()
        return opened

    def _mine(self) -> Workers | None:
        """Return the workers if they are of this event loop; those of a closed one are let go.

        Raises:
            ConfigurationError: they are of another, which was not closed.
        """
        opened = self._open
        if opened is not None and opened.loop is not asyncio.get_running_loop():
            if not opened.loop.is_closed():
                raise opened.wrong_loop()
            opened.abandon()
            self._open = None
        return self._open

    def _check_process(self) -> None:
        if self._open is not None and self._open.process != os.getpid():
            raise ForkedProcessError(
                f"{self.settings.path}: the storage was opened in process "
                f"{self._open.process} and this one, {os.getpid()}, was forked from it. SQLite "
                f"connections don't survive a fork; make a new SqliteStorage here.",
                where=str(self.settings.path),
            )

    def _collection(self, name: str) -> Collection:
        collection = self._collections.get(name)
        if collection is None:
            raise ConfigurationError(
                f"The collection {name!r} was not prepared; call prepare_collections first."
            )
        return collection

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]
