"""What `asyncpg` alone does on PostgreSQL: the limits that the storage is compared with."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import uuid4

import asyncpg

from benchmarks._event_store_domain import DATA

PAYLOAD = DATA.encode()
TABLE = """DROP TABLE IF EXISTS {0}; CREATE TABLE {0} (
    position bigserial PRIMARY KEY, stream text NOT NULL, version int NOT NULL,
    type text NOT NULL, data bytea NOT NULL, UNIQUE (stream, version))"""
LOCKED_BATCH = """CREATE OR REPLACE FUNCTION bare_batch(s text[], v int[], d bytea[])
    RETURNS SETOF bigint LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(4714);
        RETURN QUERY INSERT INTO bare_locked (stream, version, type, data)
            SELECT a, b, 'Placed', c FROM unnest(s, v, d) AS u(a, b, c) RETURNING position;
    END $$"""

Write = Callable[[list[str]], Awaitable[object]]


async def hammer(operations: Iterable[Callable[[], Awaitable[object]]], seconds: float) -> float:
    """Return how often a second the *operations* are done, each over and over, side by side."""
    done = 0
    started = time.perf_counter()
    end = started + seconds

    async def caller(operation: Callable[[], Awaitable[object]]) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await operation()
            done += 1

    await asyncio.gather(*(caller(operation) for operation in operations))
    return done / (time.perf_counter() - started)


class GroupCommit:
    """Callers hand a stream to one writer, which inserts whatever is waiting in one statement."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[None]]] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def append(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((uuid4().hex, future))
        await future

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write([stream for stream, _ in batch])
            for _, future in batch:
                future.set_result(None)

    def close(self) -> None:
        self._task.cancel()


async def unchecked(connection: asyncpg.Connection) -> Write:
    """Return what inserts a batch and checks nothing."""
    await connection.execute(TABLE.format("bare_group"))
    statement = await connection.prepare(
        "INSERT INTO bare_group (stream, version, type, data) "
        "SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bytea[]) RETURNING position"
    )

    async def write(streams: list[str]) -> object:
        count = len(streams)
        return await statement.fetch(streams, [0] * count, ["Placed"] * count, [PAYLOAD] * count)

    return write


async def locked(connection: asyncpg.Connection) -> Write:
    """Return what inserts a batch under one advisory lock; `lay_out_locked` comes first."""
    statement = await connection.prepare("SELECT bare_batch($1, $2, $3)")

    async def write(streams: list[str]) -> object:
        return await statement.fetch(streams, [0] * len(streams), [PAYLOAD] * len(streams))

    return write


async def lay_out_locked(connection: asyncpg.Connection) -> None:
    await connection.execute(TABLE.format("bare_locked"))
    await connection.execute(LOCKED_BATCH)


async def single(connection: asyncpg.Connection) -> Callable[[], Awaitable[object]]:
    """Return what inserts one event in a transaction of its own."""
    await connection.execute(TABLE.format("bare_single"))
    statement = await connection.prepare(
        "INSERT INTO bare_single (stream, version, type, data) VALUES ($1, 0, 'Placed', $2)"
    )

    async def write() -> object:
        return await statement.fetch(uuid4().hex, PAYLOAD)

    return write


async def lay_out_scanned(connection: asyncpg.Connection, events: int) -> None:
    await connection.execute(TABLE.format("bare_scanned"))
    await connection.execute(
        "INSERT INTO bare_scanned (stream, version, type, data) "
        "SELECT 's-' || i / 10, i % 10, 'Placed', $1 FROM generate_series(0, $2 - 1) AS i",
        PAYLOAD,
        events,
    )
    await connection.execute("ANALYZE bare_scanned")


async def scan(connection: asyncpg.Connection, page: int) -> float:
    """Return events per second, read page by page and not decoded."""
    statement = await connection.prepare(
        "SELECT position, stream, version, type, data FROM bare_scanned "
        "WHERE position > $1 ORDER BY position LIMIT $2"
    )
    after = read = 0
    started = time.perf_counter()
    while rows := await statement.fetch(after, page):
        read += len(rows)
        after = rows[-1][0]
    return read / (time.perf_counter() - started)
