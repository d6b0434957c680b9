"""Events that are tried again, and one over which workers die again and again."""

import signal

import pytest

from headwater.monitoring.held import held_counts
from headwater.subscriptions.failures.crash_watch import DIED_ALONE_MAX
from headwater.subscriptions.status import HeldCounts
from tests.survival.chaos import COUNT
from tests.survival.checking import rows_in
from tests.survival.counting import FAILS_EVERY
from tests.survival.load import Load, until
from tests.survival.workers import WorkerPool

LEASE_SECONDS = 0.4


async def test_a_worker_that_dies_while_it_tries_again_leaves_it_to_the_next(
    load: Load, pool: WorkerPool
) -> None:
    for account in ("k1", "k2"):
        await load.append(account, FAILS_EVERY + 3)
    at = {f"done:k1:{FAILS_EVERY}": "kill", f"done:k2:{FAILS_EVERY}": "kill"}

    first = pool.begin(lease_seconds=LEASE_SECONDS, at=at).ended()
    second = pool.begin(lease_seconds=LEASE_SECONDS, at=at).ended()
    between = await load.faults(complete=False)
    last = pool.start(lease_seconds=LEASE_SECONDS, at=at)
    await load.wait_for(load.total)
    last.stop()

    assert (first, second) == (-signal.SIGKILL, -signal.SIGKILL)
    assert (between, await load.faults()) == ([], [])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_event_over_which_workers_die_is_parked_and_all_others_flow(
    load: Load, pool: WorkerPool
) -> None:
    await load.append("k1", 3)
    await load.append("k2", 5)
    # What is slow is always in hand when a worker dies, and not to blame.
    at = {"begun:k1:2": "poison", "begun:k2:1": "slow"}
    deaths = 0

    while True:
        worker = pool.begin(lease_seconds=LEASE_SECONDS, at=at)

        async def died_or_parked() -> bool:
            held = await held_counts(load.storage, COUNT)
            return not worker.running or held.dead > 0  # noqa: B023 - awaited before the next

        await until(died_or_parked, "a worker dies, or parks the event")
        if worker.running:
            break
        deaths += 1

    async def the_others_are_done() -> bool:
        tallies = await rows_in(load.storage, "survival_tally")
        return sum(row.moves for row in tallies.values()) == 6

    await until(the_others_are_done, "all others are done")
    worker.stop()
    # First in a batch with others, which nobody can tell from a rolling deploy.
    assert DIED_ALONE_MAX <= deaths <= DIED_ALONE_MAX + 2
    assert await held_counts(load.storage, COUNT) == HeldCounts(waiting=1, dead=1, parked_keys=1)
    assert await load.faults(complete=False) == []
