"""The pool of connections that read, and do now and then what no commit does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

from headwater.adapters.storage.postgres.connections import (
    Connection,
    Read,
    abandon,
    close,
    connect,
)
from headwater.adapters.storage.postgres.failures import is_lost, translated
from headwater.adapters.storage.postgres.patience import Patience
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import OutcomeUnknownError, StorageClosedError

_Result = TypeVar("_Result")


class Readers:
    """Up to `PostgresSettings.readers` connections, made when they are needed."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.readers)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._ending: dict[Connection, asyncio.Task[None]] = {}
        self._closed = False

    async def run(self, read: Read[_Result]) -> _Result:
        """Return what *read* returns, given a connection for as long as it works.

        Where its connection turns out to be lost, it is run again on a new one, for
        `patience_seconds`; once where it got no answer in time, and that may be a connection
        which was lost without a word.

        Raises:
            StorageClosedError: the pool was closed.
            StorageUnavailableError: the server can't be reached, or gave no answer in time.
            StorageError: it can't do what was asked.
        """
        return await self._run(read, again=True)

    async def run_once(self, write: Read[_Result]) -> _Result:
        """As `run`, for what must not be done a second time once others have gone on.

        Raises:
            OutcomeUnknownError: the connection was lost, or gave no answer in time, when it was
                under way.
        """
        return await self._run(write, again=False)

    async def _run(self, work: Read[_Result], *, again: bool) -> _Result:
        patience, silences = Patience(self._settings.patience_seconds), 0
        async with self._places:
            while True:
                begun = False
                try:
                    async with self._lent(probed=not again) as connection:
                        begun = True
                        return await work(connection)
                except Exception as error:
                    silent = isinstance(error, TimeoutError)
                    lost = silent or is_lost(error)
                    if lost and begun and not again:
                        raise self._unknown(error) from error
                    silences += silent
                    if self._closed or not lost or silences > 1 or patience.ends():
                        raise translated(error, self._settings) from error
                    # Those that stand idle were most likely lost with it.
                    self._drop_idle()
                await patience.pause()

    async def close(self) -> None:
        """Close the connections once the reads that are under way have ended."""
        self._closed = True
        for _ in range(self._settings.readers):
            await self._places.acquire()
        idle, self._idle = self._idle, []
        for connection in idle:
            await close(connection)
        await asyncio.gather(*self._ending.values())
        for _ in range(self._settings.readers):
            self._places.release()

    def abandon(self) -> None:
        """Let go of all connections where the event loop was closed."""
        self._closed = True
        for connection in (*self._idle, *self._busy, *self._ending):
            abandon(connection)
        self._idle.clear()

    @asynccontextmanager
    async def _lent(self, *, probed: bool) -> AsyncGenerator[Connection, None]:
        """Lend a connection; *probed*, one that has just answered."""
        if self._closed:
            raise StorageClosedError("The storage was closed.")
        connection = self._idle.pop() if self._idle else await connect(self._settings)
        self._busy.add(connection)
        try:
            if probed:
                await connection.execute("SELECT 1")
            if self._settings.pooled_by_pgbouncer:
                async with connection.transaction(isolation="read_committed"):
                    yield connection
            else:
                yield connection
        except (TimeoutError, asyncio.CancelledError):
            self._end(connection)
            raise
        finally:
            self._busy.discard(connection)
            if not connection.is_closed() and connection not in self._ending:
                self._idle.append(connection)

    def _end(self, connection: Connection) -> None:
        """Close *connection* once the server has broken off what it did, if it answers at all.

        Whoever got this connection next would have to wait for that.
        """
        self._ending[connection] = ending = asyncio.create_task(close(connection, seconds=1.0))
        ending.add_done_callback(lambda _ending: self._ending.pop(connection))

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    def _unknown(self, error: Exception) -> OutcomeUnknownError:
        where = self._settings.where
        return OutcomeUnknownError(
            f"{where}: the connection was lost while something was done that is not done twice "
            f"({type(error).__name__}). It may be done or not: look for it.",
            where=where,
        )
