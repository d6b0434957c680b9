"""Four processes share the partitions of one subscription; each is frozen past its lease in turn.

    python -m tests.soak.postgres_leases [--moves 20000] [--seed 1]

It starts a server of its own and ends it. The exit code is 1 if a partition was ever moved under
two tokens at once, a token was given to two workers, a move was lost, or locks went in a circle.
The test suite runs the same with a few moves.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.postgres.connections import connect
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.errors import ConfigurationError
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import whole_log
from tests.servers.postgres import shared_server
from tests.servers.run_folder import RunFolder
from tests.soak.leasing import STEADY, UNSTEADY
from tests.storage.crash.processes import begin, output, process

LEASING: Final = str(Path(__file__).with_name("leasing.py"))
WORKERS: Final = 4
PARTITIONS: Final = 7
FREEZES_EACH: Final = 100
"""After so many moves or so one process is frozen."""


class Told(msgspec.Struct):
    """What one process says: how often it moved a partition, and how often it could not."""

    moved: int = 0
    lost: int = 0
    outrun: int = 0


class Stamp(msgspec.Struct):
    """What is appended with each move."""

    worker: str
    token: int
    at: int


class Outcome(msgspec.Struct):
    """What is stored in the end, and what was told on the way."""

    moves: int = 0
    lost: int = 0
    frozen: int = 0
    changed: int = 0
    faults: list[str] = []
    deadlocks: int = 0

    @property
    def good(self) -> bool:
        """Whether every move was made once, in order, and under one token at a time."""
        return not (self.faults or self.deadlocks)


async def share(
    settings: PostgresSettings, url: str, *, moves: int, freezes: int, seed: int
) -> Outcome:
    """Have partitions moved by processes *moves* times or more, and return what came of it."""
    await upgrade(settings)
    storage = PostgresStorage(settings)
    await storage.open()
    await storage.open_subscription(STEADY, partitions=PARTITIONS, start_after=0)
    await storage.open_subscription(UNSTEADY, partitions=PARTITIONS, start_after=0)
    outcome, chance = Outcome(), random.Random(seed)
    with ExitStack() as running:
        workers = {
            f"w{number}": running.enter_context(
                process(LEASING, url, f"w{number}", seed + number, moves // WORKERS)
            )
            for number in range(WORKERS)
        }
        for worker in workers.values():
            begin(worker)
        meddling = asyncio.create_task(_meddle(storage, workers, outcome, chance))
        for _ in range(freezes):
            await _freeze(storage, workers, outcome, chance)
        for worker in workers.values():
            await asyncio.to_thread(worker.wait)
        await meddling
        told = [
            msgspec.json.decode(output(worker).readline() or "{}", type=Told)
            for worker in workers.values()
        ]
        outcome.faults += [
            f"{name} ended with {code}" for name, one in workers.items() if (code := one.wait())
        ]
    outcome.lost = sum(one.lost for one in told)
    await _compare(storage, outcome, told=sum(one.moved for one in told))
    await storage.close()
    outcome.deadlocks = await _deadlocks(settings)
    return outcome


async def _freeze(
    storage: Storage,
    workers: dict[str, subprocess.Popen[str]],
    outcome: Outcome,
    chance: random.Random,
) -> None:
    """Stop a process until others have taken all that it had."""
    living = [name for name, one in workers.items() if one.poll() is None]
    if len(living) < 2:
        return
    name = chance.choice(living)
    with _stopped(workers[name]):
        while await _has(storage, name):
            if all(workers[other].poll() is not None for other in living if other != name):
                return
            await asyncio.sleep(0.01)
    outcome.frozen += 1


@contextmanager
def _stopped(worker: subprocess.Popen[str]) -> Generator[None, None, None]:
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)


async def _has(storage: Storage, worker: str) -> bool:
    return any(state.worker == worker for state in await storage.partition_states(STEADY))


async def _meddle(
    storage: Storage,
    workers: dict[str, subprocess.Popen[str]],
    outcome: Outcome,
    chance: random.Random,
) -> None:
    """Reset a subscription and cut it anew for as long as somebody works it."""
    while any(one.poll() is None for one in workers.values()):
        if chance.random() < 0.5:
            await storage.reset_subscription(UNSTEADY, to=Checkpoint(chance.randrange(9)))
            outcome.changed += 1
        else:
            try:
                await storage.repartition(UNSTEADY, partitions=chance.randint(1, PARTITIONS))
                outcome.changed += 1
            except ConfigurationError:
                pass  # It is not drained.
        await asyncio.sleep(0.02)


async def _compare(storage: Storage, outcome: Outcome, *, told: int) -> None:
    """Look through the log for moves that should not be there, or that are missing."""
    states = await storage.partition_states(STEADY)
    by_stream: dict[str, list[Stamp]] = {}
    for event in await whole_log(storage):
        stamp = msgspec.json.decode(event.data, type=Stamp)
        by_stream.setdefault(event.stream_id, []).append(stamp)
    for state in states:
        stamps = by_stream.get(f"soak.part-{state.partition}", [])
        outcome.moves += len(stamps)
        if [stamp.at for stamp in stamps] != list(range(state.checkpoint.position)):
            outcome.faults.append(f"partition {state.partition}: moves are missing or doubled")
        if any(first.token > second.token for first, second in pairwise(stamps)):
            outcome.faults.append(f"partition {state.partition}: an older token came later")
    owners = {(stamp.token, stamp.worker) for stamps in by_stream.values() for stamp in stamps}
    twice = Counter(token for token, _ in owners)
    outcome.faults += [f"token {token} was of two workers" for token in twice if twice[token] > 1]
    if outcome.moves != told:
        outcome.faults.append(f"{told} moves were told, {outcome.moves} are stored")


async def _deadlocks(settings: PostgresSettings) -> int:
    connection = await connect(settings)
    found: int = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    return found


def main(moves: int, seed: int) -> int:
    """Run on a server of its own; return the exit code."""
    folder = RunFolder(uuid4().hex[:12])
    try:
        url = f"{shared_server(folder).url()}?sslmode=disable"
        settings = PostgresSettings.from_url(url)
        outcome = asyncio.run(
            share(settings, url, moves=moves, freezes=moves // FREEZES_EACH, seed=seed)
        )
    finally:
        folder.leave()
    print(
        f"{outcome.moves:,} moves by {WORKERS} processes, seed {seed}: {outcome.frozen} times one "
        f"was frozen, {outcome.lost:,} commits found their lease lost, {outcome.changed:,} resets "
        f"and repartitions; {outcome.deadlocks} deadlocks; {outcome.faults or 'no faults'}"
    )
    return 0 if outcome.good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(main(options.moves, options.seed))
