"""A storage that is away for a while, or does not say what came of a commit, stops nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from headwater.errors import (
    OutcomeUnknownError,
    StorageError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from headwater.ports.storage import Storage
from headwater.subscriptions import ending, runner
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from tests.subscriptions.seeing import Seen
from tests.subscriptions.workbench import Workbench

AWAY = (StorageUnavailableError, StorageReadOnlyError, OutcomeUnknownError)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TRY_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(runner, "TRY_AGAIN_SECONDS_MAX", 0.01)


def fail(
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    errors: Iterator[Exception | None],
    *,
    after_all: bool = False,
) -> None:
    """Have *method* fail with the next of *errors*, instead of what it does or after it."""
    call: Callable[..., Awaitable[Any]] = getattr(storage, method)

    async def failing(*arguments: Any, **options: Any) -> Any:
        error = next(errors)
        if error is not None and not after_all:
            raise error
        result = await call(*arguments, **options)
        if error is not None:
            raise error
        return result

    monkeypatch.setattr(storage, method, failing)


@pytest.mark.parametrize("error", AWAY)
@pytest.mark.parametrize("method", ["read_log", "commit", "get_rows"])
async def test_a_projection_outlasts_a_storage_that_is_away(
    bench: Workbench,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    error: type[StorageError],
) -> None:
    await bench.book("a")
    subscriptions = await bench.start(await bench.projection())
    fail(storage, monkeypatch, method, chain([error("away")] * 3, repeat(None)))

    await subscriptions.settle()

    balance = await bench.balance("a")
    assert balance is not None
    assert balance.bookings == 1
    assert bench.status("balances").error is None


async def test_what_was_done_though_nobody_said_so_is_not_done_twice(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in "aabb":
        await bench.book(account)
    subscriptions = await bench.start(await bench.projection())
    errors = chain([OutcomeUnknownError("lost")], repeat(None))
    fail(storage, monkeypatch, "commit", errors, after_all=True)

    await subscriptions.settle()

    for account in "ab":
        balance = await bench.balance(account)
        assert balance is not None
        assert balance.bookings == 2


@pytest.mark.parametrize("together", [True, False])
async def test_a_handler_that_finds_the_storage_away_gets_its_event_again(
    bench: Workbench, *, together: bool
) -> None:
    handed: list[int] = []
    away: Exception = StorageUnavailableError("away")
    if together:
        away = ExceptionGroup("publish", [LookupError(), ExceptionGroup("tasks", [away])])
    errors = chain([away] * 2, repeat(None))

    async def handle(arrival: Arrival, delivery: Delivery) -> None:
        handed.append(delivery.position)
        error = next(errors)
        if error is not None:
            raise error

    position = await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(handle))
    await subscriptions.settle()

    assert handed == [position] * 3


async def test_while_the_storage_is_away_the_status_says_so_and_a_stop_does_not_wait(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TRY_AGAIN_SECONDS", 3600)
    projection = await bench.projection()
    away = iter([StorageUnavailableError("the server is away")])
    fail(storage, monkeypatch, "read_log", chain(away, repeat(None)))
    subscriptions = await bench.start(projection)
    while bench.status("balances").error is None:
        await bench.storage.head()

    status = bench.status("balances")
    await subscriptions.stop()

    assert status.state is not SubscriptionState.FAILED
    assert status.error == "the server is away"
    assert bench.status("balances").state is SubscriptionState.STOPPED


@pytest.mark.parametrize("method", ["release_partitions", "lease_partitions"])
async def test_a_stop_does_not_wait_for_a_storage_that_does_not_answer(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(ending, "LEAVE_SECONDS", 0.01)
    bench.workers = Workers(10, 0.01)
    subscriptions = await bench.start(bench.subscriber(Seen()))
    asked = asyncio.Event()

    async def silent(*_arguments: object, **_options: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(storage, method, silent)
    if method == "lease_partitions":
        await asked.wait()

    async with asyncio.timeout(5):
        await subscriptions.stop(grace=0.05)

    assert [each.state for each in subscriptions.status()] == [SubscriptionState.STOPPED]
