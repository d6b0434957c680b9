"""Chaos: workers come, die, stand still past their leases and go, by a seed, under load."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Final

from headwater.app.storages import file_of
from headwater.clock import SystemClock, microseconds_since_epoch
from tests.survival.load import Load, until
from tests.survival.workers import WorkerPool, WorkerProcess

COUNT: Final = "survival.count"
"""The subscription whose partitions are looked at."""

LEASE_SECONDS: Final = 0.6
LOCKED_SECONDS: Final = 0.5
"""From when on the lock of an SQLite file is that of a process that stands still."""

WORKERS_MAX: Final = 4
BACKLOG: Final = 300
"""How many moves wait, at least, while something happens to a worker."""


class Chaos:
    """Does things to workers; each waits until the system has felt it."""

    def __init__(self, load: Load, pool: WorkerPool, *, seed: int) -> None:
        self._load, self._pool = load, pool
        self._chance = random.Random(seed)
        self.done: list[str] = []
        """What was done, in order."""

    def under_load(self) -> AbstractAsyncContextManager[None]:
        """Let moves wait for the length of the block."""
        return self._load.kept_up(BACKLOG)

    async def step(self) -> None:
        """Do one thing by chance."""
        running = len(self._pool.running)
        may = ["start"] if running < WORKERS_MAX else []
        if running:
            may += ["kill", "stand still", "stop"]
        await self.do(self._chance.choice(may))

    async def do(self, what: str) -> None:
        """Do one thing, and wait until the workers that are left have come further."""
        self.done.append(what)
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "start": self.start,
            "kill": self._kill,
            "stand still": self._stand_still,
            "stop": self._stop,
        }
        await actions[what]()
        if not self._pool.running:
            await self.start()
        await self._come_further()

    async def finish(self) -> list[str]:
        """Let all be done, and the workers stop in order; return what the checker finds wrong."""
        if not self._pool.running:
            await self.start()
        await self._load.wait_for(self._load.total)
        for worker in self._pool.running:
            worker.begin_stop()
        ended = [worker.ended() for worker in self._pool.running]
        wrong = [f"a worker ended with {code}" for code in ended if code]
        return wrong + await self._load.faults(posts_once="stand still" not in self.done)

    async def start(self) -> None:
        """Start a worker."""
        self._pool.start(lease_seconds=LEASE_SECONDS, handler_ms_max=1)

    async def balanced(self) -> None:
        """Wait until all workers that run have their shares."""
        running = len(self._pool.running)

        async def each_has_its_share() -> bool:
            owners = await self._owners()
            shares = [owners.count(owner) for owner in set(owners) - {None}]
            return len(shares) == running and max(shares) - min(shares) <= 1

        await until(each_has_its_share, f"{running} workers share the partitions")

    async def _kill(self) -> None:
        self._picked().kill()

    async def _stop(self) -> None:
        if code := self._picked().stop():
            raise AssertionError(f"a worker that was stopped ended with {code}")

    async def _stand_still(self) -> None:
        """Let a worker stand still until all that it had is another's, or has run out."""
        worker = self._picked()
        if len(self._pool.running) == 1:
            await self.start()
        await self._freeze(worker)

        async def has_lost_all() -> bool:
            name = f":{worker.pid}:"
            return not any(owner and name in owner for owner in await self._owners())

        await until(has_lost_all, "the leases of a worker that stands still run out")
        await self._come_further()
        worker.go_on()

    async def _freeze(self, worker: WorkerProcess) -> None:
        """Let *worker* stand still anywhere but within a write to an SQLite file.

        There it has the lock of the file, so that nobody else gets any further.
        """
        file = file_of(self._pool.url)
        while True:
            worker.stand_still()
            if file is None or await asyncio.to_thread(_is_free, file):
                return
            worker.go_on()

    def _picked(self) -> WorkerProcess:
        return self._chance.choice(self._pool.running)

    async def _owners(self) -> list[str | None]:
        """Return who has each partition, with leases that have not run out."""
        now = microseconds_since_epoch(SystemClock().now())
        states = await self._load.storage.partition_states(COUNT)
        return [state.worker if (state.expires_at or 0) > now else None for state in states]

    async def _come_further(self) -> None:
        handled = min(await self._load.handled())
        await self._load.wait_for(handled + BACKLOG // 10)


def _is_free(file: Path) -> bool:
    """Return whether somebody who wants to write to the SQLite *file* can."""
    with closing(sqlite3.connect(file, timeout=LOCKED_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
    return True
