"""Events over which workers die are found out, and nobody else pays for it."""

from headwater.clock import ManualClock
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.suspects import SUSPECTS
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.crash_watch import DIED_ALONE_MAX
from headwater.subscriptions.failures.policy import FailurePolicy, OnFailure
from tests.subscriptions.failures.asks import states
from tests.subscriptions.failures.lane import Consumer, Lane, Sent, send


class Killed(BaseException):
    """The process ends here."""


class Deadly(Consumer):
    """Ends the process when it comes to some events."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers = set(numbers)
        self.fails = self._ends

    def _ends(self, event: Sent) -> Exception | None:
        if event.number in self.numbers:
            raise Killed
        return None


async def works(
    storage: Storage,
    clock: ManualClock,
    consumer: Consumer,
    *,
    policy: FailurePolicy | None = None,
    name: str = "",
) -> tuple[Lane, bool]:
    """Let a new worker take over and work; return whether it lived."""
    clock.advance(61)
    worker = name or f"worker at {clock.now()}"
    lane = Lane(storage, clock, policy=policy or FailurePolicy(), worker=worker, consumer=consumer)
    await lane.begin()
    try:
        await lane.run()
    except Killed:
        return lane, False
    await lane.end()
    return lane, True


async def test_an_event_over_which_workers_die_again_and_again_is_parked(
    memory: Storage, clock: ManualClock
) -> None:
    await send(memory, ("a", 1), ("b", 2), ("a", 3), ("b", 4))
    deaths = 0

    while True:
        lane, lived = await works(memory, clock, Deadly(2))
        if lived:
            break
        deaths += 1

    # Once in a batch, then alone.
    assert deaths == 1 + DIED_ALONE_MAX
    assert lane.consumer.done == [("a", 3)]
    assert await states(memory) == {
        ("b", 2): DeliveryState.DEAD,
        ("b", 4): DeliveryState.WAITING,
    }


async def test_three_workers_that_are_killed_at_work_park_nobody(
    memory: Storage, clock: ManualClock
) -> None:
    await send(memory, *(("a", number) for number in range(1, 9)))

    for number in (3, 3, 3):
        _, lived = await works(memory, clock, Deadly(number))
        assert not lived
    lane, lived = await works(memory, clock, Deadly())

    assert lived
    assert lane.consumer.done == [("a", number) for number in range(3, 9)]
    assert await states(memory) == {}


async def test_a_worker_that_gives_its_lease_back_has_not_died(
    memory: Storage, clock: ManualClock
) -> None:
    await send(memory, ("a", 1))
    for _ in range(DIED_ALONE_MAX):
        _, lived = await works(memory, clock, Deadly(1), name="one")
        assert not lived
        # It was cut off, and said so.
        await memory.release_partitions("one", "mail")

    lane, lived = await works(memory, clock, Deadly())

    assert lived
    assert lane.consumer.done == [("a", 1)]


async def test_nothing_is_written_as_long_as_nobody_dies(
    memory: Storage, clock: ManualClock
) -> None:
    await send(memory, ("a", 1), ("b", 2))

    await works(memory, clock, Consumer())

    assert await memory.count_rows(SUSPECTS.name) == 0


async def test_a_redelivery_over_which_workers_die_is_parked_too(
    memory: Storage, clock: ManualClock
) -> None:
    policy = FailurePolicy((10.0,))
    consumer = Consumer()
    consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3))
    await works(memory, clock, consumer, policy=policy)
    deaths = 0

    while True:
        _, lived = await works(memory, clock, Deadly(1), policy=policy)
        if lived:
            break
        deaths += 1

    assert deaths == 1 + DIED_ALONE_MAX
    assert await states(memory) == {
        ("a", 1): DeliveryState.DEAD,
        ("a", 2): DeliveryState.WAITING,
    }


async def test_where_nothing_may_be_parked_it_stops_and_is_tried_again_after_a_restart(
    memory: Storage, clock: ManualClock
) -> None:
    policy = FailurePolicy(then=OnFailure.STOP)
    await send(memory, ("a", 1))
    for _ in range(1 + DIED_ALONE_MAX):
        await works(memory, clock, Deadly(1), policy=policy)

    lane, lived = await works(memory, clock, Deadly(1), policy=policy)
    again, _ = await works(memory, clock, Deadly(), policy=policy)

    assert lived
    assert lane.stopped is not None
    assert "died 3 times" in str(lane.stopped.error)
    assert again.consumer.done == [("a", 1)]
