"""Tells waiting readers that the log has grown, also by another process."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import asyncpg

from headwater.adapters.storage.postgres.connections import (
    ATTEMPT_SECONDS,
    ATTEMPT_SECONDS_MAX,
    Connection,
    abandon,
    close,
    connect,
)
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.clock import Clock
from headwater.errors import HeadwaterError, StorageClosedError


class News:
    """Knows the newest head that this process has heard of, and who waits for a later one.

    Commits of this process come in through `heard`. Those of others come by LISTEN, on a
    connection of its own that is made when somebody first waits, and made anew when it is
    lost. Beside that the head is looked up at an interval as long as somebody waits, once for
    all of them: a notification can be lost with its connection, and a pooler passes none on.
    """

    def __init__(
        self, settings: PostgresSettings, clock: Clock, look: Callable[[], Awaitable[int]]
    ) -> None:
        """Look the head up by *look*."""
        self._settings: Final = settings
        self._clock: Final = clock
        self._look: Final = look
        self._head = self._times_heard = 0
        self._waiting: Final[dict[asyncio.Future[None], int]] = {}
        self._anybody: Final = asyncio.Event()
        self._look_now: Final = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._connection: Connection | None = None
        self._closed = False

    async def stop(self) -> None:
        """Tell those who wait that the storage is closed, and let go of the connection."""
        self._closed = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(StorageClosedError("The storage was closed."))
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def abandon(self) -> None:
        """Let go of the connection where the event loop was closed."""
        self._closed = True
        if self._connection is not None:
            abandon(self._connection)

    def heard(self, head: int) -> None:
        """Wake those who wait for a position below *head*."""
        self._times_heard += 1
        if head <= self._head:
            return
        self._head = head
        for future, after in self._waiting.items():
            if after < head and not future.done():
                future.set_result(None)

    async def wait(self, after: int, seconds: float) -> int:
        """Return the head when it has passed *after*, or when *seconds* have gone by.

        Raises:
            StorageClosedError: the storage was closed meanwhile.
        """
        if self._closed:
            raise StorageClosedError("The storage was closed.")
        if self._head > after:
            head = await self._look_up()
            if head > after:
                return head
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[news] = after
        self._anybody.set()
        self._start()
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            del self._waiting[news]
            if not self._waiting:
                self._anybody.clear()
        if not news.done():
            return await self._look_up()
        news.result()
        return self._head

    async def _look_up(self) -> int:
        heard = self._times_heard
        head = await self._look()
        if head < self._head and heard == self._times_heard:
            # A backup was restored, or a failover lost events: what was heard is true no more.
            self._head = head
        self.heard(head)
        return head

    # ------------------------------------------------------------------------- in the background

    def _start(self) -> None:
        if not self._tasks:
            work = [self._poll()]
            if self._settings.wake_ups == "listen":
                work.append(self._listen())
            self._tasks = tuple(asyncio.create_task(each) for each in work)

    async def _poll(self) -> None:
        while True:
            await self._anybody.wait()
            self._look_now.clear()
            # A failure here is met again, and told, by whoever reads the log.
            with suppress(HeadwaterError):
                await self._look_up()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._look_now.wait()

    async def _listen(self) -> None:
        delay = ATTEMPT_SECONDS
        while True:
            # While there is no connection, what is looked up at an interval has to do.
            with suppress(HeadwaterError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._listen_until_lost()
                delay = ATTEMPT_SECONDS
            await asyncio.sleep(delay)
            delay = min(2 * delay, ATTEMPT_SECONDS_MAX)

    async def _listen_until_lost(self) -> None:
        lost = asyncio.Event()
        self._connection = connection = await connect(self._settings.listening())
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self._settings.channel, self._notified)
            # What was committed before is not notified any more.
            self._look_now.set()
            await lost.wait()
        finally:
            await close(connection)
            self._connection = None

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self.heard(int(str(payload)))
