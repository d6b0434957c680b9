"""The file that a storage works on: opened in one event loop of one process, and closed."""

import asyncio
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from headwater.adapters.opening import Opening
from headwater.adapters.storage.sqlite import collections
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.readers import Read
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.workers import Workers
from headwater.clock import Clock, SystemClock
from headwater.ports.storage import Capabilities

_SYSTEM_CLOCK: Final = SystemClock()
_Result = TypeVar("_Result")


class SqliteFile(Opening[Workers, Collection]):
    """The part of `SqliteStorage` that opens and closes it, and knows its workers."""

    def __init__(
        self, settings: SqliteSettings | Path | str, *, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        """Use the file that *settings* name; nothing is touched before `open`."""
        super().__init__()
        if not isinstance(settings, SqliteSettings):
            settings = SqliteSettings(Path(settings))
        self.settings = settings
        self._clock: Final = clock

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

    def _where(self) -> str:
        return str(self.settings.path)
