"""One worker at a time: whatever ends it, the next one goes on where it was."""

from tests.survival.load import Load
from tests.survival.workers import WorkerPool


async def test_a_worker_that_is_killed_under_load_loses_and_doubles_nothing(
    load: Load, pool: WorkerPool
) -> None:
    for round in range(3):
        await load.append_some(200)
        worker = pool.start(lease_seconds=0.5, handler_ms_max=1)
        await load.wait_for(100 + 200 * round)
        worker.kill()

        assert await load.faults(complete=False) == []

    last = pool.start(lease_seconds=0.5)
    await load.wait_for(load.total)
    assert last.stop() == 0
    assert await load.faults() == []


async def test_a_worker_that_stops_in_order_leaves_nothing_behind(
    load: Load, pool: WorkerPool
) -> None:
    await load.append_some(300)
    worker = pool.start(handler_ms_max=2)
    await load.wait_for(50)

    assert worker.stop() == 0

    assert await load.faults(complete=False) == []
    again = pool.start()
    await load.wait_for(load.total)
    again.stop()
    assert await load.faults() == []
    # What it had begun it finished; only what failed was called outside again.
    assert await load.calls_repeated() == load.failing
