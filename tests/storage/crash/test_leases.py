"""Processes share partitions; one oversleeps, one is killed, and no step is lost or done twice."""

import asyncio
import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.ports.leases import PartitionState
from headwater.ports.storage import Storage
from tests.storage.crash.leasing import PARTITIONS, SUBSCRIPTION
from tests.storage.crash.processes import begin, output, process

PATIENCE_SECONDS = 60


async def states_when(
    storage: Storage, holds: Callable[[Counter[str | None]], bool]
) -> Sequence[PartitionState]:
    """Return the partitions as soon as what each worker has of them is as it should be."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            states = await storage.partition_states(SUBSCRIPTION)
            if holds(Counter(state.worker for state in states)):
                return states
            await asyncio.sleep(0.02)


async def moved_on(storage: Storage, since: Sequence[PartitionState]) -> None:
    """Return as soon as every partition has got on."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            states = await storage.partition_states(SUBSCRIPTION)
            pairs = zip(since, states, strict=True)
            if all(old.checkpoint.position < new.checkpoint.position for old, new in pairs):
                return
            await asyncio.sleep(0.02)


def stop_between_transactions(running: subprocess.Popen[str], path: Path) -> None:
    """Stop a process where it does not hold the file: all others would wait for it."""
    while True:
        running.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0.2)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                running.send_signal(signal.SIGCONT)
            else:
                connection.execute("ROLLBACK")
                return


async def check(storage: Storage, told: Mapping[str, Sequence[str]]) -> None:
    """Check that every step is there once, in order, under ever higher tokens, and as told."""
    found: dict[str, str] = {}
    for state in await storage.partition_states(SUBSCRIPTION):
        events = await storage.read_stream(f"moves-{state.partition}", limit=10_000)
        steps = [json.loads(event.data) for event in events]
        tokens = [step["token"] for step in steps]
        assert [step["to"] for step in steps] == list(range(1, state.checkpoint.position + 1))
        assert tokens == sorted(tokens)
        assert len({(step["token"], step["by"]) for step in steps}) == len(set(tokens))
        found |= {f"moved {state.partition} {step['to']}": step["by"] for step in steps}
    for name, lines in told.items():
        assert {found[line.strip()] for line in lines if line.startswith("moved")} == {name}


async def test_workers_come_oversleep_and_die_and_each_step_is_done_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    storage = SqliteStorage(path)
    await storage.open()

    with ExitStack() as stack:
        a, b, c = (
            stack.enter_context(process("leasing.py", f"sqlite:///{path}", name)) for name in "abc"
        )
        # They say much, and would stop where nobody listens.
        hearing = asyncio.gather(*(asyncio.to_thread(output(one).readlines) for one in (a, b, c)))
        begin(a)
        await moved_on(storage, await states_when(storage, lambda has: has == {"a": PARTITIONS}))
        begin(b)
        begin(c)
        await moved_on(
            storage, await states_when(storage, lambda has: has == {"a": 2, "b": 2, "c": 2})
        )

        await asyncio.to_thread(stop_between_transactions, a, path)
        await moved_on(storage, await states_when(storage, lambda has: has == {"b": 3, "c": 3}))
        a.send_signal(signal.SIGCONT)
        await states_when(storage, lambda has: has == {"a": 2, "b": 2, "c": 2})

        b.kill()
        await moved_on(storage, await states_when(storage, lambda has: has == {"a": 3, "c": 3}))

        for one in (a, c):
            begin(one)
        told = dict(zip("abc", await hearing, strict=True))
        assert [a.wait(), b.wait(), c.wait()] == [0, -signal.SIGKILL, 0]

    await check(storage, told)
    assert any(line.startswith("unclean") for line in told["c"])
    states = await storage.partition_states(SUBSCRIPTION)
    assert {state.worker for state in states} == {None}
    await storage.close()
