"""What operators ask for is written as requests, and what is held is read whole, however much."""

from collections.abc import AsyncIterator

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, DeliveryNotHeldError
from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_row,
)
from headwater.operations.dead_letters.reading import PAGE_ROWS
from headwater.operations.dead_letters.requests import REQUESTS, request_of
from headwater.operations.dead_letters.selecting import Selection
from headwater.ports.changes import Changes
from headwater.ports.rows import RowQuery
from headwater.ports.storage import Storage


def dead(
    position: int, *, key: str = "a", state: DeliveryState = DeliveryState.DEAD
) -> HeldDelivery:
    return HeldDelivery(
        "mail", key, position, "00" * 16, "box-a", "mail.sent", state, 1, error="ValueError"
    )


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    storage = MemoryStorage()
    await storage.open()
    await storage.prepare_collections([DELIVERIES])
    yield storage
    await storage.close()


async def hold(storage: Storage, *deliveries: HeldDelivery) -> None:
    await storage.commit(Changes(rows=tuple(map(delivery_row, deliveries))))


async def test_more_than_a_page_is_listed_once_and_in_order(storage: Storage) -> None:
    # The end of the first page falls between two keys of one event.
    many = [dead(position, key=key) for position in range(1, PAGE_ROWS + 2) for key in "ab"]
    await hold(storage, dead(0, key="first"), *many)

    found = await DeadLetters(storage).list()

    assert len(found) == 2 * PAGE_ROWS + 3
    assert len({one.id for one in found}) == len(found)
    assert [one.position for one in found] == sorted(one.position for one in found)


async def test_an_event_for_very_many_keys_is_listed_whole(storage: Storage) -> None:
    await hold(storage, *(dead(1, key=str(n)) for n in range(PAGE_ROWS + 5)), dead(2))

    assert len(await DeadLetters(storage).list()) == PAGE_ROWS + 6


async def test_a_rate_spreads_what_is_asked_for_over_time(storage: Storage) -> None:
    clock = ManualClock()
    letters = DeadLetters(storage, clock=clock)
    await hold(storage, dead(1), dead(2, key="b"), dead(3, key="c"))

    asked = await letters.replay(await letters.list(), by="ada", per_second=2)

    rows = await storage.find_rows(REQUESTS.name, RowQuery(order_by=(("not_before", False),)))
    now = microseconds_since_epoch(clock.now())
    assert [request_of(row).not_before - now for row in rows] == [0, 500_000, 1_000_000]
    assert await letters.asked_for(asked.together) == 3


async def test_what_can_not_be_asked_for_is_refused(storage: Storage) -> None:
    letters = DeadLetters(storage)
    waiting = dead(2, state=DeliveryState.WAITING)
    await hold(storage, dead(1), waiting)

    with pytest.raises(ConfigurationError, match="earlier event"):
        await letters.replay([waiting], by="ada")
    with pytest.raises(ConfigurationError, match="per_second"):
        await letters.replay([dead(1)], by="ada", per_second=0)
    with pytest.raises(ConfigurationError, match="a reason"):
        await letters.discard([dead(1)], by="ada", reason="")
    with pytest.raises(ConfigurationError, match="who asks"):
        await letters.replay([dead(1)], by=" ")
    with pytest.raises(DeliveryNotHeldError):
        await letters.show("nobody-1")
    with pytest.raises(DeliveryNotHeldError, match="erased"):
        await letters.edit(dead(1).id, "{}", author="ada", reason="x")
    with pytest.raises(ValueError, match="subscription"):
        await letters.list(Selection(key="a"))
    assert await storage.count_rows(REQUESTS.name) == 0
