"""A process that works the partitions it is dealt, oversleeps now and then, and gives some back.

    python leasing.py URL NAME SEED MOVES

It waits for a line on its standard input. Each commit moves some partitions by one, in any order,
under their tokens, and appends to each one's stream who did it, under which token, and from where.
Beside that it works a subscription that somebody resets and cuts anew all the time. It prints one
JSON object: how often it moved a partition, and how often it was told that its lease was lost.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from typing import Final

from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.errors import CheckpointConflictError, LeaseLostError
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Lease
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import append, new_event

STEADY: Final = "steady"
UNSTEADY: Final = "unsteady"
LEASE_SECONDS: Final = (0.05, 0.1, 0.3)
PER_COMMIT_MAX: Final = 3


class Worker:
    """Leases and moves, and knows where a partition stands for as long as it has it."""

    def __init__(self, storage: Storage, name: str, chance: random.Random) -> None:
        self._storage, self._name, self._chance = storage, name, chance
        self._at: dict[int, int] = {}
        self.seen: Counter[str] = Counter()

    async def work(self, moves: int) -> None:
        """Move partitions until they were moved *moves* times more."""
        while self.seen["moved"] < moves:
            await self._round(self._chance.choice(LEASE_SECONDS))
        for name in (STEADY, UNSTEADY):
            await self._storage.release_partitions(self._name, name)

    async def _round(self, seconds: float) -> None:
        shares = await self._storage.lease_partitions(
            self._name, [STEADY, UNSTEADY], seconds=seconds
        )
        mine = shares[STEADY].leases
        for one in mine:
            # Under one token nobody else moves it.
            assert self._at.setdefault(one.token, one.checkpoint.position) == (
                one.checkpoint.position
            )
        await asyncio.gather(*self._commits(mine), self._guess(shares[UNSTEADY].leases))
        if self._chance.random() < 0.1:
            await asyncio.sleep(1.5 * seconds)
            await asyncio.gather(*self._commits(mine))
        if self._chance.random() < 0.3:
            above = [one.partition for one in mine[shares[STEADY].fair :]]
            await self._storage.release_partitions(self._name, STEADY, above)
        if self._chance.random() < 0.05:
            await self._storage.release_partitions(self._name, STEADY)

    def _commits(self, leases: tuple[Lease, ...]) -> list[asyncio.Task[None]]:
        # Some stay where another has left them, for one who comes late with an old token.
        left = self._chance.sample(leases, self._chance.randint(0, len(leases)))
        tasks: list[asyncio.Task[None]] = []
        while left:
            count = self._chance.randint(1, PER_COMMIT_MAX)
            some, left = left[:count], left[count:]
            tasks.append(asyncio.create_task(self._move(some)))
        return tasks

    async def _move(self, leases: list[Lease]) -> None:
        moves: list[CheckpointMove] = []
        told: list[tuple[int, str]] = []
        for one in leases:
            at = self._at[one.token]
            moves.append(CheckpointMove(STEADY, one.partition, at, at + 1, None, one.token))
            data = {"worker": self._name, "token": one.token, "at": at}
            told.append((one.partition, json.dumps(data)))
        appends = tuple(append(f"soak.part-{n}", new_event(data=data)) for n, data in told)
        try:
            await self._storage.commit(Changes(appends=appends, checkpoints=tuple(moves)))
        except LeaseLostError:
            self.seen["lost"] += 1
            return
        for one in leases:
            self._at[one.token] += 1
        self.seen["moved"] += len(leases)

    async def _guess(self, leases: tuple[Lease, ...]) -> None:
        """Move what may be elsewhere by now, and guard others with it."""
        some = self._chance.sample(leases, min(len(leases), PER_COMMIT_MAX))
        moves: list[CheckpointMove] = []
        for one in some:
            at = one.checkpoint.position
            to = at + self._chance.randint(0, 1)
            moves.append(CheckpointMove(UNSTEADY, one.partition, at, to, None, one.token))
        try:
            await self._storage.commit(Changes(checkpoints=tuple(moves)))
        except (LeaseLostError, CheckpointConflictError):
            self.seen["outrun"] += 1


async def main(url: str, name: str, seed: int, moves: int) -> None:
    """Work, and say what came of it."""
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    worker = Worker(storage, name, random.Random(seed))
    await worker.work(moves)
    await storage.close()
    print(json.dumps(worker.seen), flush=True)


if __name__ == "__main__":
    where, name, *numbers = sys.argv[1:]
    seed, moves = map(int, numbers)
    asyncio.run(main(where, name, seed, moves))
