"""A worker's own port, from before its app opens until all of it is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headwater import App, BoundedContext, Event, EventStore, ExpectedVersion
from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import ConfigurationError
from headwater.monitoring.settings import Monitoring
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import HeldCounts, SubscriptionState
from tests.monitoring.conftest import ask

FREE = Monitoring()


class Placed(Event, context="sales"):
    number: int


Handle = Callable[[Placed], Awaitable[None]]


async def nothing(event: Placed) -> None: ...


def app_with(handle: Handle = nothing, **options: Any) -> App:
    sales = BoundedContext("sales")

    @sales.subscriber
    async def mail(event: Placed) -> None:
        await handle(event)

    app = App("sales", **options)
    app.include(sales)
    return app


async def append(app: App, number: int = 1) -> None:
    store = await app.get(EventStore)
    await store.append("sales.order-1", [Placed(number)], expected=ExpectedVersion.any())


async def test_a_worker_that_has_caught_up_lives_is_ready_and_tells_its_numbers() -> None:
    async with app_with(monitoring=FREE) as app:
        await append(app)
        await app.settle()

        live = await ask(app.monitoring_address, "/live")
        ready = await ask(app.monitoring_address, "/ready")
        metrics = await ask(app.monitoring_address, "/metrics")

    assert (live.status, ready.status, metrics.status) == (200, 200, 200)
    (told,) = ready.json["subscriptions"]
    assert (told["name"], told["lag_events"]) == ("sales.mail", 0)
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'headwater_subscription_position{subscription="sales.mail"} 1.0' in metrics.body


async def test_it_lives_and_is_not_ready_while_the_app_opens() -> None:
    opening, go_on = asyncio.Event(), asyncio.Event()

    class SlowStorage(MemoryStorage):
        async def open(self) -> None:
            opening.set()
            await go_on.wait()
            await super().open()

    port = await free_port()
    app = app_with(storage=SlowStorage(), monitoring=Monitoring(port=port))
    starting = asyncio.create_task(app.start())
    await opening.wait()

    live = await ask(("127.0.0.1", port), "/live")
    ready = await ask(("127.0.0.1", port), "/ready")
    go_on.set()
    await starting
    await append(app)
    await app.settle()
    afterwards = await ask(("127.0.0.1", port), "/ready")
    await app.stop()

    assert (live.status, ready.status, afterwards.status) == (200, 503, 200)
    assert ready.json == {"ready": False, "running": False, "subscriptions": []}


async def free_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_the_port_is_free_again_after_the_stop_and_the_app_can_start_again() -> None:
    port = await free_port()
    app = app_with(monitoring=Monitoring(port=port))

    for _ in range(2):
        async with app:
            assert (await ask(("127.0.0.1", port), "/live")).status == 200
        with pytest.raises(ConnectionRefusedError):
            await ask(("127.0.0.1", port), "/live")


async def test_a_port_that_is_taken_refuses_the_start_and_leaves_nothing_open() -> None:
    storage = MemoryStorage()
    async with app_with(monitoring=FREE) as first:
        second = app_with(storage=storage, monitoring=Monitoring(port=first.monitoring_address[1]))

        with pytest.raises(ConfigurationError, match="taken"):
            await second.start()

    assert not second.is_running


async def test_two_apps_of_one_process_have_ports_and_numbers_of_their_own() -> None:
    async with app_with(monitoring=FREE) as first, app_with(monitoring=FREE) as second:
        await append(first)
        await first.settle()

        of_first = await ask(first.monitoring_address, "/metrics")
        of_second = await ask(second.monitoring_address, "/metrics")

    assert 'position{subscription="sales.mail"} 1.0' in of_first.body
    assert 'position{subscription="sales.mail"} 0.0' in of_second.body


async def test_an_app_without_a_port_says_how_to_get_one() -> None:
    async with app_with() as app:
        with pytest.raises(ConfigurationError, match="monitoring="):
            _ = app.monitoring_address


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="stalled_after"):
        app_with(stalled_after=0)


async def test_a_handler_that_hangs_is_stalled_after_the_limit_and_the_worker_not_ready(
    clock: ManualClock,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hang(event: Placed) -> None:
        begun.set()
        await go_on.wait()

    async with app_with(hang, clock=clock, monitoring=FREE, stalled_after=60) as app:
        await append(app)
        await begun.wait()
        before = await ask(app.monitoring_address, "/ready")
        clock.advance(61)
        (status,) = app.status()
        after = await ask(app.monitoring_address, "/ready")
        go_on.set()
        await app.settle()
        again = await ask(app.monitoring_address, "/ready")

    assert (before.status, after.status, again.status) == (200, 503, 200)
    assert status.state is SubscriptionState.STALLED
    assert "61 s: partition" in str(status.error)
    assert "the handler of event sales.placed of sales.order-1 at position 1" in str(status.error)
    assert after.json["subscriptions"][0]["lag_seconds"] == 61


async def test_dead_letters_and_parked_keys_are_told() -> None:
    async def fail(event: Placed) -> None:
        raise RuntimeError("no")

    async with app_with(fail, monitoring=FREE, stalled_after=0.1) as app:
        await append(app)
        while not (status := app.status()[0]).held.dead:  # noqa: ASYNC110 - it is looked up
            await asyncio.sleep(0.01)
        metrics = await ask(app.monitoring_address, "/metrics")

    assert status.held == HeldCounts(dead=1, parked_keys=1)
    assert not status.healthy
    assert 'parked_keys{subscription="sales.mail"} 1.0' in metrics.body


async def test_partitions_that_another_worker_has_are_told_with_its_name(tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "storage": f"sqlite:///{tmp_path}/log.db?durability=normal",
        "workers": Workers(lease_seconds=5, renew_seconds=0.1),
        "stalled_after": 0.1,
    }
    async with app_with(**shared) as first, app_with(**shared):
        while len({*first.status()[0].owners} - {None}) < 2:  # noqa: ASYNC110 - it is looked up
            await asyncio.sleep(0.01)
        owners = first.status()[0].owners

    assert max(owners.count(owner) for owner in owners) == len(owners) / 2
