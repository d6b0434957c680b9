"""A rebuild and a switch go on after the process that was at it was killed."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

import pytest

from headwater.ports.changes import Append, Changes
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import new_event
from tests.projections.conftest import OpenStorage
from tests.projections.tallies import Tallies, app_of, count, counts

EVENTS, NAMES = 6000, 20
EXPECTED = {f"n{n}": EVENTS // NAMES for n in range(NAMES)}


async def fill(storage: Storage) -> None:
    for start in range(0, EVENTS, 2000):
        events = [
            new_event("tally.counted", f'{{"name":"n{n % NAMES}","by":1}}')
            for n in range(start, start + 2000)
        ]
        append = Append(f"tally.log-{start}", ExpectedVersion.ANY, tuple(events))
        await storage.commit(Changes((append,)))


async def killed(url: str, *what: str) -> None:
    """Run a worker that kills itself, and wait until it has."""
    command = (sys.executable, "-m", "tests.projections.worker_process", url, *what)
    process = await create_subprocess_exec(*command, stdout=PIPE)
    try:
        async with asyncio.timeout(60):
            assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("point", ["batch-worked", "events-dealt"])
async def test_a_rebuild_that_was_killed_in_the_middle_is_finished_by_others(
    shared_url: str, opened: OpenStorage, point: str
) -> None:
    storage = await opened()
    await fill(storage)
    async with app_of(Tallies, shared_url) as app:
        await app.wait_for(Tallies, EVENTS)

    await killed(shared_url, "rebuild", point, "2")

    async with app_of(Tallies, shared_url) as app:
        before = {one.number: one.position for one in await app.projections.status(Tallies)}
        assert before[2] < EVENTS
        last = await count(app, "n0", "later")
        await app.wait_for(Tallies, last)
        await app.projections.wait(Tallies, timeout=30)
        done = await app.projections.switch(Tallies)
        assert done.meeting.differences is not None
        assert done.meeting.differences.equal
        assert await counts(app) == {**EXPECTED, "n0": EXPECTED["n0"] + 1, "later": 1}


@pytest.mark.parametrize("step", ["compare", "flip", "end"])
async def test_a_switch_that_was_killed_can_be_done_again(
    shared_url: str, opened: OpenStorage, step: str
) -> None:
    await opened()
    async with app_of(Tallies, shared_url) as app:
        await app.wait_for(Tallies, await count(app, "a", "b", "a"))
        await app.projections.rebuild(Tallies)
        await app.projections.wait(Tallies)

    await killed(shared_url, "switch", step)

    async with app_of(Tallies, shared_url) as app:
        assert await counts(app) == {"a": 2, "b": 1}
        last = await count(app, "b")
        live = [one for one in await app.projections.status(Tallies) if one.state.value == "live"]
        assert [one.number for one in live] == [2 if step == "end" else 1]
        if step != "end":
            assert "generation 2 takes over" in (live[0].waits or "")
            await app.projections.switch(Tallies)
        await app.wait_for(Tallies, last)
        assert await counts(app) == {"a": 2, "b": 2}
