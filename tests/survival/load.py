"""The load: moves of many accounts, appended as fast as the workers keep up."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from headwater.ports.changes import NewEvent
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import appending, new_event
from tests.survival.checking import faults_in, look, rows_in
from tests.survival.counting import FAILS_EVERY

EVENTS_MAX: Final = 5
"""How many events a commit has at most."""

LOOK_SECONDS: Final = 0.02
STUCK_SECONDS: Final = 20.0
"""How long nothing may happen before what is waited for counts as lost."""


class Load:
    """Appends to a storage, and knows what it has appended."""

    def __init__(self, storage: Storage, outside: Path, *, accounts: int, seed: int) -> None:
        self.storage, self.outside = storage, outside
        self.appended = {f"k{n}": 0 for n in range(accounts)}
        self._chance = random.Random(seed)

    async def append(self, account: str, count: int) -> None:
        """Append the next *count* moves of *account* in one commit."""
        first = self.appended.get(account, 0) + 1
        events = [_moved(account, number) for number in range(first, first + count)]
        expected = ExpectedVersion.exactly(first - 1)
        stream = f"survival.account-{account}"
        await self.storage.commit(appending(stream, *events, expected=expected))
        self.appended[account] = first - 1 + count

    async def append_some(self, events: int) -> None:
        """Append at least so many moves, of accounts by chance."""
        accounts = list(self.appended)
        while events > 0:
            picked = self._chance.sample(accounts, min(8, len(accounts)))
            sizes = [self._chance.randint(1, EVENTS_MAX) for _ in picked]
            await asyncio.gather(*map(self.append, picked, sizes))
            events -= sum(sizes)

    @asynccontextmanager
    async def kept_up(self, waiting: int) -> AsyncGenerator[None]:
        """Keep at least so many moves *waiting* for the length of the block."""
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_up(waiting, enough))
            yield
            # Not cancelled: whether a commit that was under way is done, nobody would know.
            enough.set()

    async def _keep_up(self, waiting: int, enough: asyncio.Event) -> None:
        while not enough.is_set():
            if (missing := waiting - self.total + min(await self.handled())) > 0:
                await self.append_some(missing)
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def total(self) -> int:
        """How many moves were appended."""
        return sum(self.appended.values())

    @property
    def failing(self) -> int:
        """How many of them fail at first."""
        return sum(count // FAILS_EVERY for count in self.appended.values())

    async def handled(self) -> tuple[int, int]:
        """Return how many moves the subscriber and the projection have counted."""
        tallies = await rows_in(self.storage, "survival_tally")
        totals = await rows_in(self.storage, "survival_total")
        return sum(row.moves for row in tallies.values()), sum(row.moves for row in totals.values())

    async def wait_for(self, handled: int) -> None:
        """Return when both have counted *handled* moves."""

        async def reached() -> bool:
            return min(await self.handled()) >= handled

        await until(reached, f"{handled} of {self.total} moves are counted")

    async def calls_repeated(self) -> int:
        """Return how many calls outside were not the first for their move."""
        found = await look(self.storage, self.outside)
        return sum(calls.total() - 1 for calls in found.outside.values())

    async def faults(self, *, complete: bool = True, posts_once: bool = True) -> list[str]:
        """Return what the checker finds wrong; see `faults_in`."""
        found = await look(self.storage, self.outside)
        return faults_in(found, appended=self.appended, complete=complete, posts_once=posts_once)


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return when *true* is.

    Raises:
        TimeoutError: it does not come true.
    """
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            while not await true():  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"It does not come true that {what}.") from error


def _moved(account: str, number: int) -> NewEvent:
    data = f'{{"account":"{account}","number":{number}}}'
    return new_event("survival.moved", data)
