"""Nobody who waits is told that all is done while something of it is parked, or comes again."""

import pytest

from headwater.clock import ManualClock, SystemClock
from headwater.errors import ParkedKeyError, WaitTimeoutError
from headwater.ports.storage import Storage
from tests.subscriptions.failures.posting import NAME, PostOffice, post, write


async def parked(storage: Storage) -> int:
    """Park a key; return the position of what waits behind the dead letter."""
    office = PostOffice()
    office.fails = lambda event: ValueError() if event.number == 2 else None
    async with post(storage, SystemClock(), office) as app:
        at = await write(app, ("b", 1), ("a", 2), ("a", 3))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(NAME, at)
    return at


async def test_what_stands_before_the_dead_letter_can_be_waited_for(memory: Storage) -> None:
    await parked(memory)

    async with post(memory, SystemClock(), PostOffice()) as app:
        await app.wait_for(NAME, 1)
        with pytest.raises(ParkedKeyError, match="box-a"):
            await app.wait_for(NAME, 2)


async def test_after_a_restart_it_is_known_at_once_what_is_parked(memory: Storage) -> None:
    await parked(memory)

    async with post(memory, SystemClock(), PostOffice()) as app:
        with pytest.raises(ParkedKeyError):
            await app.settle()


async def test_a_process_that_runs_nothing_is_told_what_is_parked_elsewhere(
    memory: Storage,
) -> None:
    at = await parked(memory)

    async with post(memory, SystemClock(), PostOffice(), runs=False) as app:
        with pytest.raises(ParkedKeyError, match="box-a"):
            await app.wait_for(NAME, at)


async def test_what_is_delayed_is_not_settled(memory: Storage) -> None:
    office = PostOffice()
    office.fails = lambda _: ValueError()
    async with post(memory, ManualClock(), office, delayed=(60,)) as app:
        at = await write(app, ("a", 1))
        with pytest.raises(WaitTimeoutError, match="tried again"):
            await app.wait_for(NAME, at, timeout=0.3)
