"""Connections to PostgreSQL that are lost without a word, and what is not done twice for it."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import asyncpg
import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.connections import connect
from headwater.errors import OutcomeUnknownError, StorageUnavailableError
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import appending, new_event, row, whole_log, writing
from tests.servers.postgres import PostgresServer


class BlackHole:
    """Stands between a storage and its server; on demand it swallows what old connections say."""

    def __init__(self, port: int) -> None:
        self._port, self._swallows, self._made = port, 0, 0
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None, None]:
        """Take connections."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    def swallow(self) -> None:
        """Pass nothing on any more of what is said on the connections that there are."""
        self._swallows = self._made

    async def _serve(self, ours: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._made += 1
        number = self._made
        theirs, requests = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):  # one end is gone; the other is told by the close
                while data := await source.read(65536):
                    if number > self._swallows:
                        target.write(data)
                        await target.drain()
            target.close()

        await asyncio.gather(pump(ours, requests), pump(theirs, answers))


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@asynccontextmanager
async def opened(settings: PostgresSettings) -> AsyncGenerator[PostgresStorage, None]:
    storage = PostgresStorage(settings)
    await storage.open()
    yield storage
    await storage.close()


def event() -> Changes:
    return appending("order-1", new_event())


async def test_what_a_silent_network_has_swallowed_is_settled_though_waiting_took_all_patience(
    settings: PostgresSettings, postgres: PostgresServer
) -> None:
    hole = BlackHole(postgres.port)
    async with hole.open():
        patient = replace(
            settings,
            hosts=(("127.0.0.1", hole.port),),
            command_seconds=0.4,
            patience_seconds=0.2,
            wake_ups="poll",
        )
        async with opened(patient) as storage:
            await storage.commit(event())
            await storage.prepare_collections([CollectionSpec("counters", ("n",))])
            hole.swallow()

            assert (await storage.commit(event())).position == 2
            assert await storage.head() == 2
            assert (await storage.commit(writing(row("counters", "1")))).position == 0
            hole.swallow()
            assert len(await whole_log(storage)) == 2


async def test_a_read_that_is_not_answered_in_time_is_sent_once_more_and_no_oftener(
    settings: PostgresSettings,
) -> None:
    async with opened(replace(settings, command_seconds=0.3)) as storage:
        times = 0

        async def slow(connection: Any) -> None:
            nonlocal times
            times += 1
            await connection.execute("SELECT pg_sleep(60)")

        with pytest.raises(StorageUnavailableError, match="no answer in time"):
            await cast("Any", storage)._read(slow)

    assert times == 2


async def test_the_system_watches_over_connections(settings: PostgresSettings) -> None:
    connection = await connect(replace(settings, connect_seconds=3.5))
    found: socket.socket = cast("Any", connection)._transport.get_extra_info("socket")

    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3500
    await connection.close()


# ------------------------------------------------------------------------ not done twice


def lose_answer(storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have what *name* administers done, and the answer lost together with the connection."""
    statements: Any = vars(storage)["_administration"]
    work: Callable[..., Awaitable[Any]] = getattr(statements, name)

    async def lost(connection: Any, *arguments: Any, **options: Any) -> Any:
        await work(connection, *arguments, **options)
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    monkeypatch.setattr(statements, name, lost)


async def test_a_reset_whose_answer_was_lost_is_not_done_again(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings) as storage:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await storage.commit(event())
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 0, 0, 1),)))

        with monkeypatch.context() as patch:
            lose_answer(storage, patch, "reset_subscription")
            with pytest.raises(OutcomeUnknownError, match="look for it"):
                await storage.reset_subscription("totals", to=Checkpoint(0))

        # A worker that went on from there would be set back by a second reset.
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 0, 0, 1),)))
        checkpoints = await storage.open_subscription("totals", partitions=1, start_after=0)
        assert checkpoints[0].position == 1


async def test_what_is_done_once_does_not_begin_on_a_connection_that_was_lost_while_it_was_idle(
    settings: PostgresSettings, postgres_url: str
) -> None:
    settings = replace(settings, application_name=settings.schema)
    async with opened(settings) as storage:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        sql = await asyncpg.connect(postgres_url)
        await sql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = $1",
            settings.schema,
        )
        await sql.close()

        await storage.reset_subscription("totals", to=Checkpoint(0))
