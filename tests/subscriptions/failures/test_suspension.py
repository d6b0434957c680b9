"""What a circuit breaker says is away costs no attempts, and is probed by one event at a time."""

import asyncio

import pytest

from headwater.clock import ManualClock
from headwater.errors import CircuitOpenError
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.ports.storage import Storage
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.subscriptions.failure import Charge
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.subscription import partition_of
from tests.subscriptions.failures.asks import held, states
from tests.subscriptions.failures.lane import Consumer, Lane, Sent, send

DEAD, DELAYED = DeliveryState.DEAD, DeliveryState.DELAYED
PARTITIONS = 4
KEYS = {p: [k for k in map(str, range(100)) if partition_of(k, PARTITIONS) == p] for p in range(4)}


class MailServer:
    """A consumer's failures: the server is away, or an event is poison; all through a breaker."""

    def __init__(self, consumer: Consumer, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self.away = False
        self.poison: set[int] = set()
        self.calls = 0
        consumer.fails = self.fails

    def fails(self, event: Sent) -> Exception | None:
        async def send() -> None:
            self.calls += 1
            if self.away:
                raise ConnectionError("nobody there")
            if event.number in self.poison:
                raise ConnectionError("not this one")

        try:
            # It never waits for anything.
            self._breaker.call(send).send(None)
        except StopIteration:
            return None
        except Exception as error:  # noqa: BLE001 - handed on
            return error
        raise AssertionError


class Process:
    """Lanes of one subscription in one process, around one breaker."""

    def __init__(self, storage: Storage, clock: ManualClock, policy: FailurePolicy) -> None:
        self.storage, self.clock = storage, clock
        self.breaker = CircuitBreaker(3, open_for=60, name="mail server", clock=clock)
        first = Lane(storage, clock, policy=policy, breakers=[self.breaker], partitions=PARTITIONS)
        self.consumer = first.consumer
        self.lanes = [first] + [
            Lane(
                storage,
                clock,
                policy=policy,
                consumer=first.consumer,
                handling=first.handling,
                partition=partition,
                partitions=PARTITIONS,
            )
            for partition in range(1, PARTITIONS)
        ]
        self.server = MailServer(self.consumer, self.breaker)
        self._tasks: dict[Lane, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        for lane in self.lanes:
            await lane.begin()

    async def run(self) -> None:
        """Let all lanes work until each is done or waits for its turn."""
        for lane in self.lanes:
            task = self._tasks.get(lane)
            if task is None or task.done():
                self._tasks[lane] = asyncio.create_task(lane.run())
        for _ in range(200):
            await asyncio.sleep(0)
        for task in self._tasks.values():
            if task.done():
                task.result()


async def started(memory: Storage, clock: ManualClock, policy: FailurePolicy) -> Process:
    process = Process(memory, clock, policy)
    await process.begin()
    return process


@pytest.mark.parametrize("policy", [FailurePolicy(), FailurePolicy((10.0,))])
async def test_what_led_to_the_opening_gets_its_attempts_back_and_the_rest_stays_in_the_log(
    memory: Storage, clock: ManualClock, policy: FailurePolicy
) -> None:
    process = await started(memory, clock, policy)
    process.server.away = True
    await send(memory, *((KEYS[0][n], n) for n in range(10)))

    await process.run()

    # Two have failed before the one that opened it; that one, and all others, stand in the log.
    assert process.server.calls == 3
    assert set((await states(memory)).values()) <= {DEAD, DELAYED}
    await process.run()
    records = (await held(memory)).values()
    assert [(one.state, one.counted) for one in records] == [(DELAYED, 0), (DELAYED, 0)]


async def test_after_an_outage_everything_is_done_and_nothing_is_dead(
    memory: Storage, clock: ManualClock
) -> None:
    process = await started(memory, clock, FailurePolicy())
    process.server.away = True
    sent = [(key, n) for n in range(20) for key in [KEYS[n % 4][n]]]
    await send(memory, *sent)
    for _ in range(10):
        await process.run()
        clock.advance(60)
    calls = process.server.calls
    assert calls <= 3 + 10
    assert len(await held(memory)) <= 2 + 10
    process.server.away = False

    for _ in range(5):
        await process.run()
        clock.advance(60)

    assert sorted(process.consumer.done) == sorted(sent)
    assert await states(memory) == {}


async def test_there_is_one_probe_at_a_time_and_each_takes_another_key(
    memory: Storage, clock: ManualClock
) -> None:
    process = await started(memory, clock, FailurePolicy())
    process.server.away = True
    await send(memory, *((KEYS[n % 4][n // 4], n) for n in range(40)))
    await process.run()
    tried = len(process.consumer.tried)

    for _ in range(6):
        clock.advance(60)
        await process.run()

    probed = process.consumer.tried[tried:]
    assert process.server.calls == 3 + 6
    assert len({key for key, _ in probed[:6]}) >= 5


async def test_a_poisonous_event_does_not_hold_up_the_others_for_good_and_dies_by_itself(
    memory: Storage, clock: ManualClock
) -> None:
    process = await started(memory, clock, FailurePolicy())
    process.server.away = True
    process.server.poison = {0}
    await send(memory, *((KEYS[0][n], n) for n in range(8)))
    await process.run()
    process.server.away = False

    for _ in range(4):
        clock.advance(60)
        await process.run()

    assert sorted(n for _, n in process.consumer.done) == [1, 2, 3, 4, 5, 6, 7]
    assert await states(memory) == {(KEYS[0][0], 1): DEAD}


async def test_when_the_breaker_closes_for_others_nobody_waits_on(
    memory: Storage, clock: ManualClock
) -> None:
    process = await started(memory, clock, FailurePolicy())
    process.server.away = True
    await send(memory, *((KEYS[n % 4][n], n) for n in range(8)))
    await process.run()
    process.server.away = False
    clock.advance(60)

    async def answer() -> None: ...

    await process.breaker.call(answer)
    await process.run()
    await process.run()

    assert len(process.consumer.done) == 8


async def test_a_breaker_that_is_not_of_the_policy_suspends_as_well(
    memory: Storage, clock: ManualClock
) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy())
    await lane.begin()
    until = clock.now()
    rejected = CircuitOpenError("of a client", until=until, seconds=5.0, reason="down")
    lane.consumer.fails = lambda _: rejected
    await send(memory, ("a", 1), ("b", 2))

    await lane.run()

    assert lane.suspended is not None
    assert "of a client" in lane.suspended.why
    assert await states(memory) == {}
    lane.consumer.fails = lambda _: None
    clock.advance(5)
    await lane.run()
    assert lane.consumer.done == [("a", 1), ("b", 2)]


async def test_who_leaves_in_the_middle_of_a_probe_lets_another_one_probe(
    memory: Storage, clock: ManualClock
) -> None:
    process = await started(memory, clock, FailurePolicy())
    process.server.away = True
    await send(memory, *((KEYS[n % 4][n], n) for n in range(8)))
    await process.run()
    clock.advance(60)
    one, other = process.lanes[0].failures, process.lanes[1].failures
    await one.ready()
    waiting = asyncio.create_task(other.ready())
    await asyncio.sleep(0)
    assert not waiting.done()

    one.leave()

    await asyncio.wait_for(waiting, 1)
    assert process.lanes[0].handling(Charge(0, 1, lambda: (), lambda: None)) is not one
