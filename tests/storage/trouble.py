"""Makes trouble for a PostgreSQL storage that is at work, and work that shows what came of it."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from typing import Final

import asyncpg
from msgspec.structs import replace

from headwater.errors import (
    OutcomeUnknownError,
    ReceiptExistsError,
    StorageBusyError,
    StorageUnavailableError,
)
from headwater.ports.changes import Changes, CheckpointMove, NewReceipt, RowGuard
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.serialization.registry import TypeRegistry
from headwater.testing.conformance.builders import appending, id_bytes, new_event, row, whole_log
from tests.servers.postgres import PostgresServer
from tests.subscriptions.ledger import Booked

COUNTERS: Final = CollectionSpec("counters", ("n",))
SUBSCRIPTION: Final = "trouble"
WORKERS: Final = 6
_BOOKED: Final = TypeRegistry().register(Booked)


class Worker:
    """Commits one thing after the other, and keeps what it was told of each.

    About half of them only append. The others do at once all that must not be done twice: they
    count in a row that is at the version they read, move a checkpoint, and leave a receipt. If
    one was done though it was refused, or twice, the next of them is refused.
    """

    def __init__(self, storage: Storage, number: int, chance: random.Random) -> None:
        self.number, self.counted, self.unknown = number, 0, 0
        self.done: list[bytes] = []
        self.refused: list[bytes] = []
        self._storage, self._chance = storage, chance

    @property
    def told(self) -> int:
        """How often it was told what came of a commit."""
        return len(self.done) + len(self.refused) + self.unknown

    async def work(self, commits: int) -> None:
        """Commit until *commits* more are done."""
        target = len(self.done) + commits
        while len(self.done) < target:
            event = new_event(_BOOKED, f'{{"account":"{self.number}","cents":1}}')
            changes = appending(f"trouble-{self.number % 3}", event)
            counts = self._chance.random() < 0.5
            try:
                if counts:
                    changes = await self._counting(changes)
                await self._insist(changes)
            except (StorageUnavailableError, StorageBusyError):
                self.refused.append(event.id)
                continue
            self.done.append(event.id)
            self.counted += counts

    async def _counting(self, changes: Changes) -> Changes:
        """Return *changes* with a step of the counter."""
        key, n = str(self.number), self.counted
        found = (await self._storage.get_rows("counters", [key])).get(key)
        assert (0 if found is None else int(found.data)) == n
        version = 0 if found is None else found.version
        return replace(
            changes,
            rows=(row("counters", key, data=str(n + 1), expected=version),),
            guards=(RowGuard("counters", key, version),),
            checkpoints=(CheckpointMove(SUBSCRIPTION, self.number, n, n + 1),),
            receipts=(NewReceipt("trouble", id_bytes(), b"d", "null"),),
        )

    async def _insist(self, changes: Changes) -> None:
        """Commit *changes*, and send them again for as long as nobody knows what came of them."""
        known = True
        while True:
            try:
                await self._storage.commit(changes)
            except OutcomeUnknownError:
                self.unknown += 1
                known = False
            except ReceiptExistsError:
                assert not known
                return
            except (StorageUnavailableError, StorageBusyError):
                # This one was not done; of the one before it that says nothing.
                if known:
                    raise
            else:
                return
            await asyncio.sleep(0.01)


async def start_workers(storage: Storage, chance: random.Random) -> list[Worker]:
    """Return workers, with all there is that they need."""
    await storage.prepare_collections([COUNTERS])
    await storage.open_subscription(SUBSCRIPTION, partitions=WORKERS, start_after=0)
    return [Worker(storage, number, chance) for number in range(WORKERS)]


async def told_more(workers: list[Worker], times: int) -> None:
    """Return once the workers were told *times* more what came of a commit."""
    told = sum(worker.told for worker in workers)
    while sum(worker.told for worker in workers) < told + times:  # noqa: ASYNC110 - many tell
        await asyncio.sleep(0.001)


async def check(storage: Storage, workers: list[Worker]) -> None:
    """Check that what the workers were told is what is stored."""
    log = await whole_log(storage)
    times = Counter(event.id for event in log)
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    versions = Counter[str]()
    for event in log:
        versions[event.stream_id] += 1
        assert event.version == versions[event.stream_id]
    rows = await storage.get_rows("counters", [str(worker.number) for worker in workers])
    places = await storage.open_subscription(SUBSCRIPTION, partitions=WORKERS, start_after=0)
    for worker in workers:
        assert {times[id_] for id_ in worker.done} == {1}
        assert {times[id_] for id_ in worker.refused} <= {0}
        assert int(rows[str(worker.number)].data) == worker.counted
        assert places[worker.number].position == worker.counted
    assert len(log) == sum(len(worker.done) for worker in workers)
    assert await storage.count_receipts(after=0) == sum(worker.counted for worker in workers)


class Trouble:
    """What can happen to the server, and to the connections of a storage of the name *name*."""

    def __init__(self, server: PostgresServer, name: str, chance: random.Random) -> None:
        self._server, self._name, self._chance = server, name, chance

    async def backends(self) -> list[int]:
        """Return the server's processes that work for the storage."""
        connection = await asyncpg.connect(self._server.url())
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid", self._name
        )
        await connection.close()
        return [pid for (pid,) in rows]

    async def nobody_is_connected(self) -> None:
        """Return once no process of the server works for the storage any more."""
        while await self.backends():  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.01)

    async def terminate(self) -> None:
        """End one of the backends, or all of them."""
        found = await self.backends()
        connection = await asyncpg.connect(self._server.url())
        for pid in self._chance.sample(
            found, self._chance.choice((min(1, len(found)), len(found)))
        ):
            await connection.execute("SELECT pg_terminate_backend($1)", pid)
        await connection.close()

    async def restart(self) -> None:
        """Stop the server in good form, or as a crash does, and start it again."""
        await asyncio.to_thread(self._server.restart, self._chance.choice(("fast", "immediate")))

    async def freeze(self, workers: list[Worker], *, seconds_max: float) -> None:
        """Stop one of the backends, or all, until the workers were told something, and more."""
        found = await self.backends()
        frozen = self._chance.sample(found, self._chance.choice((min(1, len(found)), len(found))))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds_max):
                    await told_more(workers, 2 * WORKERS)
        finally:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
