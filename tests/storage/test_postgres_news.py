"""News of the log: heard by LISTEN, looked for beside it, and asked for once for all."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.news import News
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.clock import SystemClock
from headwater.errors import StorageClosedError

NEVER = 3600.0


class Log:
    """A log that another process writes to, and how often it was asked for its head."""

    def __init__(self, connection: Connection, settings: PostgresSettings) -> None:
        self._connection, self._settings = connection, settings
        self._turn = asyncio.Lock()
        self.looks, self.looked = 0, asyncio.Event()

    async def grow(self, *, silently: bool = False) -> None:
        """Append an event; *silently*, so that no notification of it arrives."""
        schema = self._settings.schema
        async with self._turn:
            await self._connection.execute(f"UPDATE {schema}.head SET position = position + 1")
            if not silently:
                await self._connection.execute(
                    f"SELECT pg_notify($1, position::text) FROM {schema}.head",
                    self._settings.channel,
                )

    async def look(self) -> int:
        self.looks += 1
        self.looked.set()
        async with self._turn:
            head: int = await self._connection.fetchval(
                f"SELECT position FROM {self._settings.schema}.head"
            )
            return head

    async def listeners(self) -> list[int]:
        """Return the server's processes that listen for this test."""
        async with self._turn:
            rows = await self._connection.fetch(
                "SELECT pid FROM pg_stat_activity "
                "WHERE application_name = $1 AND query ILIKE 'LISTEN%' AND state = 'idle'",
                self._settings.application_name,
            )
        return [pid for (pid,) in rows]

    async def other_listener(self, than: list[int]) -> list[int]:
        """Return who listens, once it is somebody else."""
        while True:
            now = await self.listeners()
            if now not in ([], than):
                return now
            await asyncio.sleep(0.01)

    async def nobody_listens(self) -> None:
        """Return once that is so."""
        while True:
            if await self.listeners() == []:
                return
            await asyncio.sleep(0.01)

    async def cut(self, pid: int) -> None:
        async with self._turn:
            await self._connection.execute("SELECT pg_terminate_backend($1)", pid)


@pytest.fixture
async def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?schema={postgres_schema}&application_name={postgres_schema}"
    settings = replace(PostgresSettings.from_url(url), poll_seconds=NEVER)
    await upgrade(settings)
    return settings


@pytest.fixture
async def log(postgres_url: str, settings: PostgresSettings) -> AsyncIterator[Log]:
    connection: Connection = await asyncpg.connect(postgres_url)
    yield Log(connection, settings)
    await connection.close()


@pytest.fixture
async def start(log: Log, settings: PostgresSettings) -> AsyncIterator[Callable[..., News]]:
    """Make news with other settings, which are stopped with the test."""
    made: list[News] = []

    def make(**changes: object) -> News:
        made.append(News(replace(settings, **changes), SystemClock(), log.look))
        return made[-1]

    yield make
    for news in made:
        await news.stop()


def waiting(news: News, after: int) -> asyncio.Task[int]:
    return asyncio.create_task(news.wait(after, NEVER))


async def test_a_commit_of_another_process_is_heard_without_looking(
    log: Log, start: Callable[..., News]
) -> None:
    wait = waiting(start(), 0)
    await log.other_listener(than=[])

    await log.grow()

    await wait


async def test_what_was_committed_before_anybody_listened_is_seen(
    log: Log, start: Callable[..., News]
) -> None:
    await log.grow()

    await waiting(start(), 0)


async def test_a_lost_connection_is_made_anew_and_what_was_missed_is_seen(
    log: Log, start: Callable[..., News]
) -> None:
    news = start()
    wait = waiting(news, 0)
    (pid,) = listeners = await log.other_listener(than=[])

    await log.cut(pid)
    await log.grow(silently=True)
    await wait
    again = waiting(news, 1)
    await log.other_listener(than=listeners)
    await log.grow()

    await again


@pytest.mark.parametrize("wake_ups", ["listen", "poll"])
async def test_news_whose_notification_is_lost_are_seen_at_the_next_look(
    log: Log, start: Callable[..., News], wake_ups: str
) -> None:
    wait = waiting(start(wake_ups=wake_ups, poll_seconds=0.05), 0)
    await log.looked.wait()

    await log.grow(silently=True)

    await wait


async def test_many_who_wait_look_once(log: Log, start: Callable[..., News]) -> None:
    news = start(wake_ups="poll")
    waits = [waiting(news, 0) for _ in range(50)]
    await log.looked.wait()
    await log.look()

    news.heard(1)

    await asyncio.gather(*waits)
    assert log.looks == 2


async def test_a_head_that_has_fallen_is_believed_and_no_wait_returns_before_its_time(
    log: Log, start: Callable[..., News]
) -> None:
    news = start()
    news.heard(9)  # before a backup was restored
    wait = waiting(news, 0)
    await log.other_listener(than=[])
    assert not wait.done()

    await log.grow()

    assert await wait == 1


async def test_where_nobody_waits_nothing_is_asked(log: Log, start: Callable[..., News]) -> None:
    news = start(poll_seconds=0.001)
    await news.wait(0, 0.001)
    await log.look()

    looked = log.looks
    for _ in range(10):
        await asyncio.sleep(0.002)

    # One that was under way when the wait ended may still come.
    assert log.looks <= looked + 1


async def test_a_stop_ends_every_wait_and_the_connection(
    log: Log, start: Callable[..., News]
) -> None:
    news = start()
    waits = [waiting(news, 0) for _ in range(3)]
    await log.other_listener(than=[])

    await news.stop()

    for wait in waits:
        with pytest.raises(StorageClosedError):
            await wait
    await log.nobody_listens()
