"""A worker that dies at any step between reading an event and committing its effects."""

import re
import signal
from pathlib import Path

import pytest

import headwater
from headwater.subscriptions.fail_points import FAIL_POINTS
from tests.survival.counting import FAILS_EVERY
from tests.survival.load import Load, until
from tests.survival.workers import WorkerPool, WorkerProcess

LEASE_SECONDS = 0.4
ON_POSTGRES = ("batch-taken", "batch-worked", "event-held")
"""Those at which a commit is about to begin or has just ended; PostgreSQL makes others not new."""

LATER = 3
"""How often a second worker comes to the point before it dies there, too."""


def test_every_fail_point_of_the_code_is_listed() -> None:
    source = Path(headwater.__file__).parent
    texts = [path.read_text() for path in source.rglob("*.py")]

    reached = {name for text in texts for name in re.findall(r'\breach\("([a-z-]+)"\)', text)}

    assert reached == set(FAIL_POINTS)


@pytest.mark.parametrize(
    ("url", "point"),
    [
        *(("sqlite", point) for point in FAIL_POINTS),
        *(("postgres", point) for point in ON_POSTGRES),
    ],
    indirect=["url"],
)
async def test_a_worker_that_dies_there_loses_and_doubles_nothing(
    load: Load, pool: WorkerPool, point: str
) -> None:
    for account in ("k1", "k2", "k3"):
        await load.append(account, FAILS_EVERY + 2)

    first = await ended(load, pool.begin(lease_seconds=LEASE_SECONDS, dies_at=(point, 1)))
    after_first = await load.faults(complete=False)
    await load.append("k1", FAILS_EVERY)
    second = await ended(load, pool.begin(lease_seconds=LEASE_SECONDS, dies_at=(point, LATER)))
    after_second = await load.faults(complete=False)
    last = await ended(load, pool.begin(lease_seconds=LEASE_SECONDS))

    assert first == -signal.SIGKILL, f"{point} was not reached"
    assert second in (-signal.SIGKILL, 0)
    assert last == 0
    assert (after_first, after_second, await load.faults()) == ([], [], [])


async def ended(load: Load, worker: WorkerProcess) -> int:
    """Let *worker* work until it dies, or stop it when all is done; return its exit code."""

    async def died_or_done() -> bool:
        return not worker.running or min(await load.handled()) == load.total

    await until(died_or_done, "a worker dies or is done")
    worker.begin_stop()
    return worker.ended()
