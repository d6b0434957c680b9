"""What fails is parked or delayed, its key waits in order, and others go on."""

import pytest

from headwater.clock import ManualClock
from headwater.errors import RefusedError
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.requests import REQUESTS, RequestAction
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.policy import FailurePolicy, OnFailure
from tests.subscriptions.failures.asks import ask, held, states
from tests.subscriptions.failures.lane import Lane, effects, send

PARK = FailurePolicy()
DEAD, DELAYED, WAITING = DeliveryState.DEAD, DeliveryState.DELAYED, DeliveryState.WAITING


async def begun(storage: Storage, clock: ManualClock, policy: FailurePolicy = PARK) -> Lane:
    lane = Lane(storage, clock, policy=policy)
    await lane.begin()
    return lane


@pytest.mark.parametrize("poisonous", [{1}, {2}, {3}, {1, 2, 3}])
async def test_an_event_that_fails_parks_its_key_wherever_it_stands_in_its_batch(
    memory: Storage, clock: ManualClock, poisonous: set[int]
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number in poisonous else None
    await send(memory, ("a", 1), ("b", 2), ("c", 3))

    await lane.run()

    assert {number for _, number in await effects(memory)} == {1, 2, 3} - poisonous
    assert set((await states(memory)).values()) == {DEAD}
    assert lane.at.position == 3


async def test_later_events_of_a_parked_key_wait_and_others_go_on(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5))

    await lane.run()

    assert lane.consumer.done == [("b", 2), ("b", 4)]
    assert await states(memory) == {("a", 1): DEAD, ("a", 3): WAITING, ("a", 5): WAITING}
    assert lane.failures.parked(5) == ("a",)
    assert lane.failures.parked(0) == ()


async def test_two_keys_that_fail_in_one_batch_are_parked_both(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.key != "c" else None
    await send(memory, ("a", 1), ("c", 2), ("b", 3), ("a", 4), ("b", 5), ("c", 6))

    await lane.run()

    assert lane.consumer.done == [("c", 2), ("c", 6)]
    assert await states(memory) == {
        ("a", 1): DEAD,
        ("b", 3): DEAD,
        ("a", 4): WAITING,
        ("b", 5): WAITING,
    }


async def test_a_delayed_event_is_tried_when_it_is_due_and_its_key_follows_in_order(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0, 60.0)))
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3))
    await lane.run()
    assert lane.failures.pending(1)
    clock.advance(9.9)
    await lane.run()
    assert lane.consumer.tried == [("a", 1), ("b", 3)]

    clock.advance(0.1)
    await lane.run()
    lane.consumer.fails = lambda _: None
    await send(memory, ("a", 4))
    await lane.run()
    clock.advance(60)
    await lane.run()

    assert lane.consumer.done == [("b", 3), ("a", 1), ("a", 2), ("a", 4)]
    assert await states(memory) == {}
    assert not lane.failures.pending(9)


async def test_when_all_delays_are_used_up_it_is_a_dead_letter_that_tells_its_attempts(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,)))
    lane.consumer.fails = lambda _: ValueError("boom")
    await send(memory, ("a", 1))
    await lane.run()
    clock.advance(10)

    await lane.run()

    record = (await held(memory))["a", 1]
    assert record.state is DEAD
    assert [attempt.message for attempt in record.attempts] == ["boom", "boom"]
    assert record.attempts[1].at - record.attempts[0].at == 10_000_000
    assert (record.error, record.counted, record.code) == ("ValueError", 2, "1")


async def test_a_refusal_is_never_tried_again(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,)))
    lane.consumer.fails = lambda _: RefusedError("no")
    await send(memory, ("a", 1))

    await lane.run()

    assert await states(memory) == {("a", 1): DEAD}


async def test_to_park_an_event_lets_its_key_go_on(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,), OnFailure.PARK_EVENT))
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("a", 3))
    await lane.run()
    assert lane.consumer.done == []
    clock.advance(10)

    await lane.run()

    assert lane.consumer.done == [("a", 2), ("a", 3)]
    assert await states(memory) == {("a", 1): DEAD}
    assert not lane.failures.holds("a")
    assert lane.failures.parked(1) == ("a",)


async def test_to_stop_lets_nothing_pass(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock, FailurePolicy(then=OnFailure.STOP))
    lane.consumer.fails = lambda event: ValueError("boom") if event.number == 2 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3))

    await lane.run()

    assert lane.stopped is not None
    assert (str(lane.stopped.error), lane.stopped.position) == ("boom", 2)
    assert lane.consumer.done == [("a", 1)]
    assert await states(memory) == {}


async def test_to_stop_after_delays_tries_again_after_a_restart(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,), OnFailure.STOP))
    lane.consumer.fails = lambda event: ValueError("boom") if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3))
    await lane.run()
    clock.advance(10)
    await lane.run()
    assert lane.stopped is not None
    assert lane.stopped.position == 1
    lane.consumer.fails = lambda _: None

    await lane.begin()
    await lane.run()

    assert lane.consumer.done == [("b", 3), ("a", 1), ("a", 2)]


async def test_another_worker_knows_what_is_held(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,)))
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2))
    await lane.run()
    await lane.end()

    other = Lane(memory, clock, policy=FailurePolicy((10.0,)), worker="two")
    await other.begin()
    await send(memory, ("a", 3), ("b", 4))
    await other.run()
    assert other.consumer.done == [("b", 4)]
    clock.advance(10)
    await other.run()

    assert other.consumer.done == [("b", 4), ("a", 1), ("a", 2), ("a", 3)]
    assert await states(memory) == {}


async def test_a_replay_hands_over_all_that_waits_in_order(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("a", 3))
    await lane.run()
    lane.consumer.fails = lambda _: None
    await ask(memory, RequestAction.REPLAY, (await held(memory))["a", 1])
    await send(memory, ("a", 4))
    clock.advance(1)

    await lane.run()

    assert lane.consumer.done == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
    assert await states(memory) == {}
    assert await memory.count_rows(REQUESTS.name) == 0
    assert lane.failures.due_at is None


async def test_a_replay_that_is_asked_for_twice_is_done_once(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1))
    await lane.run()
    lane.consumer.fails = lambda _: None
    dead = (await held(memory))["a", 1]
    await ask(memory, RequestAction.REPLAY, dead)
    await ask(memory, RequestAction.REPLAY, dead)
    clock.advance(1)
    await lane.run()

    await ask(memory, RequestAction.REPLAY, dead)
    clock.advance(1)
    await lane.run()

    assert lane.consumer.done == [("a", 1)]


async def test_a_replay_that_fails_again_stays_dead_and_one_that_waits_behind_it_is_next(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,)))
    lane.consumer.fails = lambda event: RefusedError() if event.number <= 2 else None
    await send(memory, ("a", 1), ("a", 2), ("a", 3))
    await lane.run()
    await ask(memory, RequestAction.REPLAY, (await held(memory))["a", 1])
    clock.advance(1)
    await lane.run()
    assert await states(memory) == {("a", 1): DEAD, ("a", 2): WAITING, ("a", 3): WAITING}
    lane.consumer.fails = lambda event: RefusedError() if event.number == 2 else None
    await ask(memory, RequestAction.REPLAY, (await held(memory))["a", 1])
    clock.advance(1)

    await lane.run()

    assert lane.consumer.done == [("a", 1)]
    assert await states(memory) == {("a", 2): DEAD, ("a", 3): WAITING}


async def test_all_that_was_asked_for_together_stops_with_the_first_failure(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda _: ValueError()
    await send(memory, *((key, number) for number, key in enumerate("abc", 1)))
    await lane.run()
    lane.consumer.tried.clear()
    await ask(memory, RequestAction.REPLAY, *(await held(memory)).values(), stop=True)
    clock.advance(1)

    await lane.run()

    assert len(lane.consumer.tried) == 1
    assert await memory.count_rows(REQUESTS.name) == 0


async def test_a_discarded_event_lets_the_next_one_go_on(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number in (1, 3) else None
    await send(memory, ("a", 1), ("a", 2), ("a", 3), ("a", 4))
    await lane.run()
    await ask(memory, RequestAction.DISCARD, (await held(memory))["a", 1])
    clock.advance(1)

    await lane.run()

    assert lane.consumer.done == [("a", 2)]
    assert await states(memory) == {("a", 3): DEAD, ("a", 4): WAITING}


async def test_an_event_that_waits_can_be_discarded(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("a", 3))
    await lane.run()
    await ask(memory, RequestAction.DISCARD, (await held(memory))["a", 2])
    clock.advance(1)

    await lane.run()

    assert await states(memory) == {("a", 1): DEAD, ("a", 3): WAITING}


async def test_an_erased_event_is_dropped_and_what_waits_behind_it_goes_on(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy((10.0,)))
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2))
    await lane.run()
    change = StreamChange("box-a", StreamAction.TRUNCATE, before_version=2)
    await memory.commit(Changes(streams=(change,)))
    clock.advance(10)

    await lane.run()

    assert lane.consumer.done == [("a", 2)]
    assert await states(memory) == {}


async def test_too_many_that_wait_hold_the_partition_up_until_there_is_room(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, FailurePolicy(waiting_max=2))
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3), ("a", 4), ("a", 5), ("b", 6))
    await lane.run()
    assert lane.blocked is not None
    assert lane.blocked.limit == 2
    assert lane.consumer.done == [("b", 3)]
    lane.consumer.fails = lambda _: None
    await ask(memory, RequestAction.REPLAY, (await held(memory))["a", 1])
    clock.advance(1)

    await lane.run()

    assert lane.consumer.done == [("b", 3), ("a", 1), ("a", 2), ("a", 4), ("a", 5), ("b", 6)]


async def test_a_reset_forgets_what_was_held(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number == 1 else None
    await send(memory, ("a", 1), ("a", 2), ("b", 3))
    await lane.run()
    await memory.reset_subscription("mail", to=Checkpoint(0), clear=["effects"])
    lane.consumer.fails = lambda _: None

    await lane.begin()
    assert await states(memory) == {}
    await lane.run()

    assert lane.consumer.done == [("b", 3), ("a", 1), ("a", 2), ("b", 3)]


async def test_what_was_held_back_for_a_batch_that_came_to_nothing_is_held_back_again(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock)
    lane.consumer.fails = lambda event: ValueError() if event.number in (1, 2) else None
    await send(memory, ("a", 1))
    await lane.run()
    await send(memory, ("b", 2), ("a", 3), ("c", 4))

    await lane.run()

    assert await states(memory) == {("a", 1): DEAD, ("b", 2): DEAD, ("a", 3): WAITING}
    assert lane.consumer.done == [("c", 4)]
