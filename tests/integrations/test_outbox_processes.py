"""Movers in several processes: no row is moved twice, and one that is killed loses none."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.integrations.guests import House, Invited

ROOT = Path(__file__).parents[2]
ROWS = 1500

StartMover = Callable[[], Awaitable[Process]]


@pytest.fixture
async def start_mover(house: House) -> AsyncIterator[StartMover]:
    """Start a process that moves the outbox; it is killed with the test."""
    processes: list[Process] = []

    async def start() -> Process:
        url = f"{house.url}?schema={house.schema}&sslmode=disable"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integrations.mover_process", url),
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
        )
        processes.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"moving\n"
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.005)


async def assert_all_moved_once(house: House, rows: int) -> None:
    log = await house.log()
    assert [stored.position for stored in log] == list(range(1, rows + 1))
    assert sorted(int(stored.name) for stored in log) == list(range(rows))


async def test_movers_of_two_processes_move_each_row_once(
    house: House, start_mover: StartMover
) -> None:
    processes = [await start_mover() for _ in range(2)]

    for start in range(0, ROWS, 50):
        events = [Invited(str(number)) for number in range(start, start + 50)]
        await house.stage(f"guest-{start % 7}", *events)
    await house.mover.wait_until_moved()

    await assert_all_moved_once(house, ROWS)
    for process in processes:
        await process.communicate(b"\n")
        assert process.returncode == 0


async def test_a_mover_that_is_killed_within_a_batch_has_moved_nothing_of_it(
    house: House, start_mover: StartMover
) -> None:
    # Whoever holds the log's lock keeps the mover in the middle of its batch.
    holder = await house.connect()
    lock = (
        f"SELECT pg_advisory_lock(1212438354, '{house.schema}'::regnamespace::oid::integer), "
        f"pg_backend_pid() AS pid"
    )
    (row,) = await holder.fetch(lock)

    async def mover_waits_for_the_log() -> bool:
        blocked = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
        return bool(await house.sql(blocked, row["pid"]))

    first = await start_mover()
    await house.stage("guest-1", *[Invited(str(number)) for number in range(100)])
    await until(mover_waits_for_the_log)

    first.kill()
    await first.wait()
    assert await house.waiting() == 100
    await start_mover()
    await holder.close()
    await house.mover.wait_until_moved()

    await assert_all_moved_once(house, 100)


async def test_movers_that_are_killed_at_any_moment_lose_and_repeat_nothing(
    house: House, start_mover: StartMover
) -> None:
    async def moved() -> int:
        (row,) = await house.sql("SELECT coalesce(max(position), 0) AS position FROM @.events")
        return int(row["position"])

    connection = await house.connect()
    for start in range(0, 4 * ROWS, 500):
        async with connection.transaction():
            events = [Invited(str(number)) for number in range(start, start + 500)]
            await house.outbox.stage(connection, f"guest-{start}", events)
    await connection.close()

    for _ in range(3):
        before = await moved()
        process = await start_mover()

        async def more_is_moved(before: int = before) -> bool:
            return await moved() > before or before == 4 * ROWS

        await until(more_is_moved)
        process.kill()
        await process.wait()
    await start_mover()
    await house.mover.wait_until_moved()

    await assert_all_moved_once(house, 4 * ROWS)
