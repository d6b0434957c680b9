"""An event that upcasters make several of fails, waits and is handed over again key by key."""

from collections.abc import Iterable
from typing import Any

from headwater.clock import ManualClock
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.requests import RequestAction
from headwater.ports.storage import Storage
from headwater.serialization.upcasting import Upcasters
from headwater.subscriptions.failures.policy import FailurePolicy, OnFailure
from tests.subscriptions.failures.asks import ask, held, states
from tests.subscriptions.failures.lane import Lane, append, send

DEAD, WAITING = DeliveryState.DEAD, DeliveryState.WAITING


async def begun(
    storage: Storage,
    clock: ManualClock,
    *failing: tuple[str, int],
    policy: FailurePolicy | None = None,
) -> Lane:
    """Return a lane that reads what was sent to all as sent to each, and fails for some."""
    upcasters = Upcasters()

    @upcasters.upcaster("mail.sent-to-all", version=1, to=["mail.sent"])
    def split(data: dict[str, Any]) -> Iterable[tuple[str, int, dict[str, Any]]]:
        return [("mail.sent", 1, {"key": key, "number": data["number"]}) for key in data["keys"]]

    lane = Lane(storage, clock, policy=policy or FailurePolicy(), upcasters=upcasters)
    await lane.begin()
    lane.consumer.fails = lambda event: (
        ValueError() if (event.key, event.number) in failing else None
    )
    return lane


async def send_to_all(storage: Storage, number: int, *keys: str) -> None:
    """Append one event that is for all of *keys*."""
    await append(storage, "box-all", "mail.sent-to-all", {"keys": keys, "number": number})


async def test_only_the_key_whose_part_fails_is_parked(memory: Storage, clock: ManualClock) -> None:
    lane = await begun(memory, clock, ("b", 1))
    await send_to_all(memory, 1, "a", "b", "c")
    await send(memory, ("a", 2), ("b", 3), ("c", 4))

    await lane.run()

    assert sorted(lane.consumer.done) == [("a", 1), ("a", 2), ("c", 1), ("c", 4)]
    assert await states(memory) == {("b", 1): DEAD, ("b", 3): WAITING}


async def test_of_keys_that_are_held_the_parts_wait_and_the_others_are_handled(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, ("a", 1), ("b", 2))
    await send(memory, ("a", 1), ("b", 2))
    await send_to_all(memory, 3, "a", "b", "c")

    await lane.run()

    assert lane.consumer.done == [("c", 3)]
    assert await states(memory) == {
        ("a", 1): DEAD,
        ("b", 2): DEAD,
        ("a", 3): WAITING,
        ("b", 3): WAITING,
    }


async def test_a_part_that_waits_is_kept_when_another_part_fails(
    memory: Storage, clock: ManualClock
) -> None:
    lane = await begun(memory, clock, ("a", 1), ("b", 2))
    await send(memory, ("a", 1))
    await send_to_all(memory, 2, "a", "b")
    await lane.run()
    assert await states(memory) == {("a", 1): DEAD, ("a", 2): WAITING, ("b", 2): DEAD}
    lane.consumer.fails = lambda _: None
    dead = [one for one in (await held(memory)).values() if one.state is DEAD]
    await ask(memory, RequestAction.REPLAY, *dead)
    clock.advance(1)

    await lane.run()

    assert sorted(lane.consumer.done) == [("a", 1), ("a", 2), ("b", 2)]
    assert await states(memory) == {}


async def test_where_the_subscription_stops_no_part_is_done(
    memory: Storage, clock: ManualClock
) -> None:
    policy = FailurePolicy(then=OnFailure.STOP)
    lane = await begun(memory, clock, ("b", 1), policy=policy)
    await send_to_all(memory, 1, "a", "b")

    await lane.run()

    assert lane.stopped is not None
    assert lane.consumer.done == []
    assert await states(memory) == {}
