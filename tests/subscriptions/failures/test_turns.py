"""What a rate limit or a bulkhead has no room for waits for its turn, and uses up no attempt."""

import pytest

from headwater.clock import ManualClock
from headwater.errors import BulkheadFullError, RateLimitExceededError
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.failures.turns import ROOM_SECONDS
from headwater.subscriptions.subscription import partition_of
from tests.subscriptions.failures.asks import held, states
from tests.subscriptions.failures.lane import Lane, Sent, send

KEYS = [next(k for k in map(str, range(100)) if partition_of(k, 2) == p) for p in range(2)]
TOO_EARLY = RateLimitExceededError("two a minute", retry_after=30, problem="a turn is far off")
FULL = BulkheadFullError("one at a time", concurrency_max=1, queue_max=0)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (TOO_EARLY, 30),
        (FULL, ROOM_SECONDS),
        (ExceptionGroup("both", [FULL, TOO_EARLY]), 30),
    ],
)
async def test_who_is_rejected_waits_for_its_turn_and_is_not_dead(
    memory: Storage, clock: ManualClock, error: Exception, seconds: float
) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy())
    await lane.begin()
    lane.consumer.fails = lambda event: error if event.number > 1 else None
    await send(memory, ("a", 1), ("b", 2), ("c", 3))

    await lane.run()

    assert lane.suspended is not None
    assert "waits for its turn at" in lane.suspended.why
    await lane.run_for_a_moment()
    assert await states(memory) == {}
    assert lane.consumer.tried == [("a", 1), ("b", 2)]
    clock.advance(seconds - 0.001)
    await lane.run_for_a_moment()
    assert lane.consumer.tried == [("a", 1), ("b", 2)]
    lane.consumer.fails = lambda _: None
    clock.advance(0.001)
    await lane.run_for_a_moment()
    assert lane.consumer.done == [("a", 1), ("b", 2), ("c", 3)]


async def test_other_partitions_do_not_wait_along(memory: Storage, clock: ManualClock) -> None:
    first = Lane(memory, clock, policy=FailurePolicy(), partitions=2)
    second = Lane(
        memory,
        clock,
        policy=FailurePolicy(),
        consumer=first.consumer,
        handling=first.handling,
        partition=1,
        partitions=2,
    )
    for lane in (first, second):
        await lane.begin()
    first.consumer.fails = lambda event: TOO_EARLY if event.key == KEYS[0] else None
    await send(memory, (KEYS[0], 1), (KEYS[1], 2), (KEYS[1], 3))

    await first.run()
    await second.run()

    assert first.suspended is not None
    assert first.consumer.done == [(KEYS[1], 2), (KEYS[1], 3)]


async def test_what_was_held_is_rejected_without_using_up_its_next_attempt(
    memory: Storage, clock: ManualClock
) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy((10.0,)))
    await lane.begin()
    errors: list[Exception | None] = [ValueError(), TOO_EARLY, None]

    def fails(event: Sent) -> Exception | None:
        return errors.pop(0) if event.number == 1 else None

    lane.consumer.fails = fails
    await send(memory, ("a", 1), ("b", 2))
    await lane.run()
    clock.advance(10)

    await lane.run()

    assert lane.suspended is not None
    assert [one.counted for one in (await held(memory)).values()] == [1]
    clock.advance(29)
    await lane.run()
    assert len(lane.consumer.tried) == 3
    clock.advance(1)
    await lane.run()
    assert lane.consumer.done == [("b", 2), ("a", 1)]


async def test_a_group_that_says_more_is_a_failure(memory: Storage, clock: ManualClock) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy())
    await lane.begin()
    lane.consumer.fails = lambda _: ExceptionGroup("both", [FULL, ValueError()])
    await send(memory, ("a", 1))

    await lane.run()

    assert len(await states(memory)) == 1
