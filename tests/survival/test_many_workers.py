"""Workers that share the work: some die, some stand still past their leases, some come."""

import pytest

from tests.survival.chaos import Chaos
from tests.survival.load import Load
from tests.survival.workers import WorkerPool


async def test_from_one_to_four_to_two_workers_under_load(load: Load, pool: WorkerPool) -> None:
    chaos = Chaos(load, pool, seed=1)
    async with chaos.under_load():
        await chaos.start()
        await chaos.balanced()
        for _ in range(3):
            await chaos.do("start")
        await chaos.balanced()
        await chaos.do("kill")
        await chaos.do("stop")
        await chaos.balanced()

    assert await chaos.finish() == []


async def test_a_worker_that_stands_still_past_its_lease_writes_nothing_of_what_it_had_in_hand(
    load: Load, pool: WorkerPool
) -> None:
    chaos = Chaos(load, pool, seed=2)
    async with chaos.under_load():
        for _ in range(2):
            await chaos.start()
        await chaos.balanced()
        for _ in range(2):
            await chaos.do("stand still")

    assert await chaos.finish() == []


@pytest.mark.parametrize("seed", [3])
async def test_whatever_happens_to_workers_nothing_is_lost_doubled_or_out_of_order(
    load: Load, pool: WorkerPool, seed: int
) -> None:
    chaos = Chaos(load, pool, seed=seed)

    async with chaos.under_load():
        for _ in range(6):
            await chaos.step()

    assert await chaos.finish() == [], chaos.done
