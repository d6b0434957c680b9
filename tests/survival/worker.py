"""A worker process: runs the counting app until its standard input ends, then stops in order.

    python -m tests.survival.worker ORDERS

ORDERS is a `WorkerOrders` as JSON. It says ``ready`` when it has started and ``stopped`` at its
end; what goes wrong in it stands on its standard error.
"""

import asyncio
import logging
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import UUID

import msgspec

from headwater import App, Delivery
from headwater.subscriptions import effect_ledger, fail_points
from headwater.subscriptions.flow import Workers
from tests.survival import controls
from tests.survival.counting import POSTED, Moved, counting

GATE_SECONDS: Final = 0.005
SLOW_SECONDS: Final = 0.2


class WorkerOrders(msgspec.Struct, frozen=True):
    """What a worker does beyond its work.

    `outside`: the file that stands for the world outside. `lease_seconds`: of its leases.
    `off`: what is switched off in it (`controls`). `handler_ms_max`: handlers take random
    times up to it. `at`: what happens at a moment, by its name ``<moment>:<account>:<number>``:
    ``kill`` is a SIGKILL to itself; ``hold`` lets this handler wait for ever; ``block`` stands
    still with the whole process until the file ``go`` is in `gates`. These happen once: a file in
    `gates`, of the moment's name, tells it. Each time happen ``poison``, a SIGKILL, and ``slow``,
    a while that it takes. `dies_at`: a fail point, and how often it is reached before the worker
    is killed there.
    """

    url: str
    outside: str
    gates: str
    lease_seconds: float = 1.0
    off: tuple[str, ...] = ()
    handler_ms_max: float = 0.0
    seed: int = 0
    at: dict[str, str] = {}
    dies_at: tuple[str, int] | None = None


class OutsideFile:
    """Appends a line per call to a file; a line is written whole or not at all."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def call(self, event: Moved, key: UUID) -> None:
        """Note that it was called for *event* with an idempotency key."""
        os.write(self._file, f"{event.account} {event.number} {key}\n".encode())

    def post(self, event: Moved) -> None:
        """Do something that must not be done twice."""
        os.write(self._file, f"{event.account} {event.number} {POSTED}\n".encode())

    def was_posted(self, event: Moved) -> bool:
        """Return whether that was done for *event*."""
        line = f"{event.account} {event.number} {POSTED}"
        return line in Path(self._path).read_text().splitlines()


class Worker:
    """One worker: the app, and the moments at which something is to happen."""

    def __init__(self, orders: WorkerOrders) -> None:
        self._orders = orders
        self._chance = random.Random(orders.seed)
        seconds = orders.lease_seconds
        self.app = App(
            "survival",
            storage=orders.url,
            workers=Workers(lease_seconds=seconds, renew_seconds=seconds / 4),
        )
        self.app.include(counting(OutsideFile(orders.outside), self._moment))

    async def run(self) -> None:
        """Work until the standard input ends."""
        async with self.app:
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
        print("stopped", flush=True)

    async def _moment(self, name: str, event: Moved, _delivery: Delivery) -> None:
        moment = f"{name}:{event.account}:{event.number}"
        what = self._orders.at.get(moment)
        if what == "poison":
            die()
        elif what == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        elif what is not None and self._first(moment):
            await self._happen(what)
        elif name == "begun" and self._orders.handler_ms_max:
            await asyncio.sleep(self._chance.uniform(0, self._orders.handler_ms_max) / 1000)

    def _first(self, moment: str) -> bool:
        try:
            (Path(self._orders.gates) / moment).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    async def _happen(self, what: str) -> None:
        if what == "kill":
            die()
        elif what == "hold":
            await asyncio.Event().wait()
        else:
            while not (Path(self._orders.gates) / "go").exists():
                # The event loop stands still on purpose, as that of a stopped process does.
                time.sleep(GATE_SECONDS)  # noqa: ASYNC251


def die() -> None:
    """End this process at once, as if somebody had killed it."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str, times: int) -> None:
    """Die when the fail point *point* is reached for the *times*-th time."""
    left = times

    def strike(name: str) -> None:
        nonlocal left
        left -= name == point
        if not left:
            die()

    fail_points.strike = strike


def main(orders: WorkerOrders) -> None:
    """Run a worker as it is told."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    # All workers of a test are on one machine: their clocks don't differ.
    mock.patch.object(effect_ledger, "CLOCK_SKEW_SECONDS", 0.0).start()
    for what in orders.off:
        controls.switch_off(what)
    if orders.dies_at is not None:
        die_at(*orders.dies_at)
    asyncio.run(Worker(orders).run())


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=WorkerOrders))
