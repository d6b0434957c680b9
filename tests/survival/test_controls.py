"""What each protection is there for: without it, the checker finds fault with the same events."""

import pytest

from headwater.subscriptions.subscription import PARTITIONS, partition_of
from tests.survival.counting import FAILS_EVERY
from tests.survival.load import Load, until
from tests.survival.workers import WorkerPool

LEASE_SECONDS = 0.5
HERE, THERE = "k1", "k2"
"""Two accounts of different partitions."""

both = pytest.mark.parametrize("without", [False, True], ids=["with", "without"])


def found(faults: list[str], *, without: bool) -> bool:
    """Return whether there are faults only *without* the protection, and those it is for."""
    return bool(faults) == without and all(HERE in fault or THERE in fault for fault in faults)


async def reached(pool: WorkerPool, moment: str) -> None:
    """Return when a worker has come to *moment*."""

    async def is_there() -> bool:
        return (pool.folder / moment).exists()

    await until(is_there, f"a worker comes to {moment}")


@both
async def test_receipts_keep_a_command_from_being_done_again_after_a_kill(
    load: Load, pool: WorkerPool, *, without: bool
) -> None:
    off = ("receipt",) if without else ()
    await load.append(HERE, 5)
    first = pool.begin(off=off, at={f"charged:{HERE}:3": "kill"})
    first.ended()
    pool.start(off=off, lease_seconds=LEASE_SECONDS)
    await load.wait_for(5)

    assert found(await load.faults(), without=without)


@both
async def test_tokens_keep_a_worker_that_stood_still_from_writing_what_another_has_done(
    load: Load, pool: WorkerPool, *, without: bool
) -> None:
    off = ("token", "idle moves") if without else ("idle moves",)
    again = f"done:{HERE}:{FAILS_EVERY}"
    await load.append(HERE, FAILS_EVERY)
    sleeper = pool.start(off=off, lease_seconds=LEASE_SECONDS, at={again: "block"})
    await reached(pool, again)
    pool.start(off=off, lease_seconds=LEASE_SECONDS)
    await load.wait_for(FAILS_EVERY)

    pool.open_gate()
    sleeper.stop()

    assert found(await load.faults(), without=without)


@both
async def test_a_partition_that_is_further_than_others_skips_what_it_has_behind_it(
    load: Load, pool: WorkerPool, *, without: bool
) -> None:
    assert partition_of(HERE, PARTITIONS) != partition_of(THERE, PARTITIONS)
    off = ("skip",) if without else ()
    await load.append(HERE, 1)
    await load.append(THERE, 3)
    held = pool.start(off=off, lease_seconds=LEASE_SECONDS, at={f"begun:{HERE}:1": "hold"})

    async def the_others_are_done() -> bool:
        tallies, totals = await load.handled()
        return tallies == 3 and totals == 4

    await until(the_others_are_done, "all but the one that is held are done")
    held.kill()
    pool.start(off=off, lease_seconds=LEASE_SECONDS)
    await load.wait_for(4)

    assert found(await load.faults(), without=without)
