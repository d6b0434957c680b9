"""A lane as small as can be: works the events of one partition, and does what `Failures` say."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import msgspec

from headwater.clock import ManualClock
from headwater.errors import HeldLimitError
from headwater.messages import Event
from headwater.ports.changes import Append, Changes, RowChange
from headwater.ports.leases import Checkpoint
from headwater.ports.log import WHOLE_LOG, StoredEvent
from headwater.ports.rows import CollectionSpec, RowQuery
from headwater.ports.storage import Storage
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcasting import Upcaster
from headwater.streams import ExpectedVersion
from headwater.subscriptions.failure import Charge, Hold, Resolution, Stop, Suspend
from headwater.subscriptions.failures.handling import FailureHandling
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.subscription import (
    Arrival,
    Batch,
    HeldBack,
    Outcome,
    Subscription,
    Worked,
    groups,
    partition_of,
)
from headwater.testing.conformance.builders import new_event

NAME = "mail"
_order = count()
EFFECTS = CollectionSpec("effects", ("key", "number", "order"))


class Sent(Event, name="mail.sent"):
    key: str
    number: int


def sent_of(arrival: Arrival) -> Sent:
    """Return the event of *arrival*."""
    assert isinstance(arrival.payload, Sent)
    return arrival.payload


class Consumer:
    """Writes a row for each event, unless `fails` says that it fails, and remembers the order."""

    together = False
    keyed_by_stream = False

    def __init__(self) -> None:
        self.fails: Callable[[Sent], Exception | None] = lambda _: None
        self.tried: list[tuple[str, int]] = []
        self.done: list[tuple[str, int]] = []

    def key_of(self, arrival: Arrival) -> str:
        return sent_of(arrival).key

    async def prepare(self, arrivals: Sequence[Arrival]) -> None: ...

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        raise NotImplementedError

    async def try_all(self, batch: Batch) -> tuple[Worked, list[tuple[str, int]]]:
        done: list[tuple[str, int]] = []
        for group in batch.groups():
            for arrival in group:
                event = sent_of(arrival)
                self.tried.append((event.key, event.number))
                failure = self.fails(event)
                if failure is not None:
                    return Worked(len(done), failure), done
            done += [(each.key, sent_of(each).number) for each in group]
        return Worked(len(done)), done


class Lane:
    """One worker's work on one partition of one subscription."""

    def __init__(
        self,
        storage: Storage,
        clock: ManualClock,
        *,
        policy: FailurePolicy,
        consumer: Consumer | None = None,
        handling: FailureHandling | None = None,
        breakers: Sequence[CircuitBreaker] = (),
        worker: str = "one",
        partition: int = 0,
        partitions: int = 1,
        batch_events: int = 10,
        upcasters: Iterable[Upcaster] = (),
    ) -> None:
        registry = TypeRegistry()
        registry.register(Sent)
        self.codec = EventCodec(registry, upcasters=upcasters)
        self.storage, self.clock, self.worker = storage, clock, worker
        self.partition, self.partitions = partition, partitions
        self.consumer = consumer or Consumer()
        self.batch_events = batch_events
        self.handling = handling or FailureHandling(
            Subscription(NAME),
            self.consumer,
            policy=policy,
            log=storage,
            target=storage,
            codec=self.codec,
            clock=clock,
            breakers=breakers,
            code="1",
        )
        self.failures = self.handling(Charge(partition, partitions, lambda: (), lambda: None))
        self.stopped: Stop | None = None
        self.suspended: Suspend | None = None
        self.blocked: HeldLimitError | None = None

    # ------------------------------------------------------------------------ the lease

    async def begin(self) -> None:
        """Lease the partition, whoever has it, and load what is held in it."""
        await self.storage.open_subscription(NAME, partitions=self.partitions, start_after=0)
        share = await self.storage.lease_partitions(self.worker, [NAME], seconds=60)
        self.lease = next(one for one in share[NAME].leases if one.partition == self.partition)
        self.at = self.lease.checkpoint
        self.stopped = self.suspended = self.blocked = None
        await self.failures.load(self.lease)

    async def end(self) -> None:
        """Give the partition back."""
        await self.storage.release_partitions(self.worker, NAME)
        self.failures.leave()

    # ------------------------------------------------------------------------- working

    async def run(self) -> None:
        """Work until there is nothing to do now."""
        self.suspended = None
        while self.stopped is None and self.suspended is None:
            due = self.failures.due_at
            worked = False
            if due is not None and due <= self.clock.monotonic():
                self.blocked = None
                ended = await self.failures.work_due(self.at, self.work)
                if isinstance(ended, Stop):
                    self.stopped = ended
                    return
                self.suspended = ended
                worked = True
            if self.suspended is None and self.blocked is None:
                worked |= await self.batch()
            if not worked:
                return

    async def run_for_a_moment(self) -> None:
        """Work until there is nothing to do now, or until it has to wait."""
        task = asyncio.create_task(self.run())
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))

    async def batch(self, *, limit: int | None = None) -> bool:
        """Work a batch; return whether there was one."""
        limit = 1 if self.failures.alone else limit or self.batch_events
        page = await self.storage.read_log(after=self.at.position, where=WHOLE_LOG, limit=limit)
        if not page.events:
            return False
        arrivals: list[Arrival] = []
        held: list[HeldBack] = []
        to = Checkpoint(page.events[-1].position, page.events[-1].id)
        last, preceding = self.at, None
        for stored in page.events:
            ours = self.arrivals_of(stored)
            waiting = [one for one in ours if self.failures.holds(one.key)]
            if waiting:
                try:
                    held.append(self.failures.hold_back(waiting))
                except HeldLimitError as error:
                    self.blocked = error
                    to = last
                    break
            for one in ours:
                if one not in waiting:
                    one.preceding = preceding
                    arrivals.append(one)
            last, preceding = Checkpoint(stored.position, stored.id), stored
        if to.position == self.at.position:
            return False
        batch = Batch(
            NAME,
            self.partition,
            arrivals,
            before=self.at,
            scanned_to=to,
            token=self.lease.token,
            held=held,
        )
        await self.failures.ready()
        await self._work_batch(batch)
        return True

    def arrivals_of(self, stored: StoredEvent) -> list[Arrival]:
        found: list[Arrival] = []
        for part, payload in self.codec.read(self.handling.overrides.applied(stored)):
            arrival = Arrival(part, payload)
            arrival.event_id = stored.id
            arrival.key = self.consumer.key_of(arrival)
            if partition_of(arrival.key, self.partitions) == self.partition:
                found.append(arrival)
        return found

    async def _work_batch(self, batch: Batch) -> None:
        if not batch.arrivals:
            await self.work(batch)
            self.at = batch.reached(Worked(0))
            return
        for single in batch.singly() if self.failures.alone else (batch,):
            if self.failures.alone:
                resolution = await self.failures.before_alone(single)
                if resolution is not None:
                    await self._carry_out(single.arrivals, resolution)
                    return
            worked = await self.work(single)
            assert isinstance(worked, Worked)
            self.at = single.reached(worked)
            if worked.done:
                self.failures.passed(single, worked.done)
            if worked.failure is not None:
                failing = single.arrivals[worked.done]
                group = next(g for g in groups(single.arrivals) if failing in g)
                resolution = await self.failures.resolve(group, worked.failure)
                await self._carry_out(group, resolution)
                return

    async def _carry_out(self, arrivals: Sequence[Arrival], resolution: Resolution) -> None:
        if isinstance(resolution, Stop):
            self.stopped = resolution
        elif isinstance(resolution, Suspend):
            self.suspended = resolution
        else:
            await self._hold(arrivals, resolution)

    async def _hold(self, arrivals: Sequence[Arrival], hold: Hold) -> None:
        to = Checkpoint(arrivals[-1].stored.position, arrivals[-1].event_id)
        batch = Batch(
            NAME,
            self.partition,
            (),
            before=self.at,
            scanned_to=to,
            token=self.lease.token,
            held=(HeldBack(to.position, hold.rows),),
        )
        await self.work(batch)
        self.at = to

    async def work(self, batch: Batch) -> Outcome:
        """Hand over and commit, as a consumer and its lane do together."""
        worked, done = await self.consumer.try_all(batch)
        advance = batch.advance(worked)
        effects = tuple(
            RowChange(
                EFFECTS.name,
                f"{key}-{number}",
                _encode({"key": key, "number": number, "order": next(_order)}),
                expected=0,
            )
            for key, number in done
        )
        await self.storage.commit(
            Changes(
                guards=advance.guards,
                rows=(*effects, *advance.rows),
                checkpoints=advance.checkpoints,
            )
        )
        self.consumer.done += done
        return worked


async def prepared(storage: Storage) -> None:
    """Make room for the effects."""
    await storage.prepare_collections([EFFECTS])


async def send(storage: Storage, *sent: tuple[str, int]) -> None:
    """Append an event for each key and number."""
    for key, number in sent:
        await append(storage, f"box-{key}", "mail.sent", {"key": key, "number": number})


async def append(storage: Storage, stream: str, type: str, data: dict[str, object]) -> None:
    """Append an event of *data* to *stream*."""
    event = new_event(type, _encode(data))
    await storage.commit(Changes((Append(stream, ExpectedVersion.any(), (event,)),)))


async def effects(storage: Storage) -> list[tuple[str, int]]:
    """Return what is stored as done, in the order in which it was."""
    rows = await storage.find_rows(EFFECTS.name, RowQuery(limit=10_000))
    found = sorted((msgspec.json.decode(row.data) for row in rows), key=lambda one: one["order"])
    return [(one["key"], one["number"]) for one in found]


def _encode(value: dict[str, object]) -> str:
    return msgspec.json.encode(value).decode()
