"""A PostgreSQL storage keeps what it told, whatever happens to its server and connections."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import OutcomeUnknownError
from headwater.ports.changes import Committed
from headwater.subscriptions.status import SubscriptionState
from headwater.testing.conformance.builders import appending, new_event
from tests.servers.postgres import PostgresServer
from tests.storage.trouble import Trouble, Worker, check, start_workers, told_more
from tests.subscriptions.workbench import Workbench

NAME = "in-trouble"
SHORT = "command_seconds=0.4&lock_seconds=0.2&connect_seconds=0.5&patience_seconds=1"


@pytest.fixture
def server(new_postgres: Callable[..., PostgresServer]) -> PostgresServer:
    """A server to make trouble with."""
    return new_postgres()


@pytest.fixture
async def url(server: PostgresServer) -> str:
    """The URL of a storage with its tables."""
    url = f"{server.url()}?sslmode=disable&application_name={NAME}"
    async with opened(f"{url}&auto_migrate=true"):
        return url


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[PostgresStorage, None]:
    storage = PostgresStorage(PostgresSettings.from_url(url))
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture(params=[1])
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@asynccontextmanager
async def at_work(url: str, chance: random.Random) -> AsyncGenerator[list[Worker], None]:
    """Workers on one storage and a projection of what they do on another; check both at the end.

    Nothing is left of them then, neither a task nor a connection.
    """
    tasks = asyncio.all_tasks()
    async with opened(url) as storage, opened(url) as another:
        workers = await start_workers(storage, chance)
        bench = Workbench(another)
        subscriptions = await bench.start(await bench.projection())
        yield workers
        await check(storage, workers)
        await subscriptions.settle()
        assert bench.status("balances").state is SubscriptionState.LIVE
        for worker in workers:
            balance = await bench.balance(str(worker.number))
            assert balance is not None
            assert balance.bookings == balance.cents == len(worker.done)
        await bench.stop()
    assert asyncio.all_tasks() == tasks


async def test_nothing_is_lost_or_done_twice_while_backends_are_terminated_and_the_server_restarts(
    server: PostgresServer, url: str, chance: random.Random
) -> None:
    trouble = Trouble(server, NAME, chance)

    async with at_work(url, chance) as workers:
        working = asyncio.gather(*(worker.work(150) for worker in workers))
        troubles = 0
        while not working.done():
            await trouble.terminate() if chance.random() < 0.8 else await trouble.restart()
            troubles += 1
            telling = asyncio.ensure_future(told_more(workers, 20))
            either: tuple[asyncio.Future[Any], ...] = (working, telling)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
        await working
        assert troubles > 5

    await trouble.nobody_is_connected()


async def test_nothing_is_lost_or_done_twice_while_backends_stand_still(
    server: PostgresServer, url: str, chance: random.Random
) -> None:
    trouble = Trouble(server, NAME, chance)

    async with at_work(f"{url}&{SHORT}", chance) as workers:
        for _ in range(6):
            working = [asyncio.create_task(worker.work(15)) for worker in workers]
            await trouble.freeze(workers, seconds_max=2)
            await asyncio.gather(*working)

    await trouble.nobody_is_connected()


async def test_a_commit_that_may_be_done_yet_is_not_refused(
    server: PostgresServer, url: str, chance: random.Random
) -> None:
    trouble = Trouble(server, NAME, chance)
    gate = await asyncpg.connect(server.url())
    await gate.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$; "
        "CREATE TRIGGER wait AFTER INSERT ON headwater.events EXECUTE FUNCTION wait(); "
        "SELECT pg_advisory_lock(7)"
    )

    async with opened(f"{url}&{SHORT}&moves_outbox=false") as storage:
        (writer,) = await trouble.backends()
        commit = asyncio.ensure_future(storage.commit(appending("order-1", new_event())))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        while not await gate.fetchval(waits):  # noqa: ASYNC110 - another process waits
            await asyncio.sleep(0.001)
        os.kill(writer, signal.SIGSTOP)

        with pytest.raises(OutcomeUnknownError):
            await commit

        os.kill(writer, signal.SIGCONT)
        await gate.close()
        assert isinstance(await storage.commit(appending("order-1", new_event())), Committed)
