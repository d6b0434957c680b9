"""More is asked for than is looked at at once: nobody's requests hold up those of others."""

import asyncio

import pytest

from headwater.clock import ManualClock
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery, delivery_id
from headwater.operations.dead_letters.requests import (
    REQUESTS,
    DeliveryRequest,
    RequestAction,
    request_row,
)
from headwater.ports.changes import Changes
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.asking import REQUESTS_PAGE
from headwater.subscriptions.failures.policy import FailurePolicy
from headwater.subscriptions.subscription import partition_of
from tests.subscriptions.failures.asks import held, states
from tests.subscriptions.failures.lane import NAME, Lane, send

DEAD, DELAYED = DeliveryState.DEAD, DeliveryState.DELAYED


def request(one: HeldDelivery, action: RequestAction, *, not_before: int = 0) -> DeliveryRequest:
    return DeliveryRequest(
        one.id,
        one.subscription,
        one.key,
        one.position,
        one.held_at,
        action,
        "ada",
        0,
        "together",
        not_before=not_before,
        reason="because",
    )


async def write(storage: Storage, *requests: DeliveryRequest) -> None:
    await storage.commit(Changes(rows=tuple(map(request_row, requests))))


def keys_of(partition: int, count: int) -> list[str]:
    keys = (f"k{number}" for number in range(10 * count))
    return [key for key in keys if partition_of(key, 2) == partition][:count]


async def ask_nobody(storage: Storage) -> None:
    """Ask for more than a page of deliveries in a partition that nobody works."""
    await write(
        storage,
        *(
            DeliveryRequest(
                delivery_id(NAME, key, 1),
                NAME,
                key,
                1,
                0,
                RequestAction.REPLAY,
                "ada",
                0,
                "others",
            )
            for key in keys_of(1, REQUESTS_PAGE + 10)
        ),
    )


@pytest.mark.parametrize("action", RequestAction)
async def test_requests_for_a_partition_that_nobody_works_hold_up_no_other(
    memory: Storage, clock: ManualClock, action: RequestAction
) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy((10.0,)), partitions=2)
    await lane.begin()
    dead, delayed = keys_of(0, 2)
    lane.consumer.fails = lambda _: ValueError()
    await send(memory, (dead, 1))
    await lane.run()
    clock.advance(10)
    await lane.run()
    await send(memory, (delayed, 2))
    await lane.run()
    assert await states(memory) == {(dead, 1): DEAD, (delayed, 2): DELAYED}
    lane.consumer.fails = lambda _: None
    await ask_nobody(memory)
    await write(memory, request((await held(memory))[dead, 1], action, not_before=1))
    clock.advance(10)

    async with asyncio.timeout(20):
        await lane.run()

    replayed = [(dead, 1)] if action is RequestAction.REPLAY else []
    assert lane.consumer.done == [*replayed, (delayed, 2)]
    assert await states(memory) == {}
    assert await memory.count_rows(REQUESTS.name) == REQUESTS_PAGE + 10


async def test_all_that_is_asked_of_one_partition_is_done_before_anything_is_due(
    memory: Storage, clock: ManualClock
) -> None:
    lane = Lane(memory, clock, policy=FailurePolicy((10.0,)), partitions=2, batch_events=500)
    await lane.begin()
    keys = keys_of(0, REQUESTS_PAGE + 5)
    lane.consumer.fails = lambda _: ValueError()
    await send(memory, *((key, number) for number, key in enumerate(keys, 1)))
    await lane.run()
    lane.consumer.fails = lambda _: None
    lane.consumer.tried.clear()
    found = list((await held(memory)).values())
    await write(memory, *(request(one, RequestAction.DISCARD) for one in found))
    await ask_nobody(memory)
    clock.advance(10)

    async with asyncio.timeout(20):
        await lane.run()

    assert lane.consumer.tried == []
    assert await states(memory) == {}
