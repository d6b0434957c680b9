"""The trouble: when the mail server goes away, a worker is killed, and all is well again."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from examples.shop.chaos.postbox import Postbox
from examples.shop.chaos.processes import Worker
from examples.shop.intake.ids import email_of
from examples.shop.intake.purchases import Purchase

MAIL_GOES_AT: Final = 0.2
WORKER_DIES_AT: Final = 0.5
"""After which part of the purchases."""

OUTAGE_SECONDS: Final = 6.0
"""How long the mail server is away at least."""

POISONED_ORDERS: Final = 3
"""How many orders the customer has at least whose letters are refused: some wait then."""


class Trouble:
    """Makes trouble while purchases come in, and ends it; `say` tells what happens."""

    def __init__(
        self,
        purchases: Sequence[Purchase],
        *,
        storage: str,
        postbox: Postbox,
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        self._count, self._storage, self._postbox = len(purchases), storage, postbox
        self._log, self._say = log, say
        self.poisoned = _poisoned(purchases)
        self.kills = 0
        self._done = 0
        self._away_since = 0.0
        self._workers = AsyncExitStack()
        self._worker: Worker | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Open the mail server, which refuses one customer, and start a worker."""
        address = email_of(self.poisoned)
        self._postbox.refused = (address,)
        await self._postbox.open()
        await self._start_worker()
        self._say(f"Worker {self.pid} is at work. The mail server will refuse {address}.")

    def step(self) -> None:
        """Count a purchase, and make the trouble that is due."""
        self._done += 1
        if self._done == max(1, int(self._count * MAIL_GOES_AT)):
            self._tasks.append(asyncio.create_task(self._mail_goes()))
        if self._done == max(1, int(self._count * WORKER_DIES_AT)):
            self._tasks.append(asyncio.create_task(self._worker_dies()))

    async def end(self) -> None:
        """Let the mail server come back; another worker is at work already."""
        for task in self._tasks:
            await task
        await asyncio.sleep(max(0.0, self._away_since + OUTAGE_SECONDS - time.monotonic()))
        await self._postbox.open()
        self._say("The mail server is back.")

    def check(self) -> None:
        """Pass if the worker runs.

        Raises:
            WorkerDiedError: it has died.
        """
        if self._worker is not None:
            self._worker.check()

    async def close(self) -> None:
        """End what is left: workers, and the mail server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._workers.aclose()
        await self._postbox.close()

    @property
    def pid(self) -> int:
        """The id of the process that is at work."""
        return self._worker.pid if self._worker is not None else 0

    async def _mail_goes(self) -> None:
        await self._postbox.close()
        self._away_since = time.monotonic()
        self._say("The mail server is gone.")

    async def _worker_dies(self) -> None:
        assert self._worker is not None
        died, self._worker = self._worker, None
        await died.kill()
        self.kills += 1
        await self._start_worker()
        self._say(f"Worker {died.pid} was killed in the middle; worker {self.pid} takes over.")

    async def _start_worker(self) -> None:
        worker = Worker(self._storage, self._postbox.port, self._log)
        self._worker = await self._workers.enter_async_context(worker)


def _poisoned(purchases: Sequence[Purchase]) -> str:
    """Return the first customer with enough orders, or with most."""
    orders = Counter(purchase.customer_id for purchase in purchases)
    enough = (customer for customer, n in orders.items() if n >= POISONED_ORDERS)
    return next(enough, max(orders, key=orders.__getitem__, default=""))
