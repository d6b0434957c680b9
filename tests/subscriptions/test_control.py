"""Operators pause, stop at a position, retire and repartition; workers do exactly that."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from headwater.errors import ConfigurationError, WaitTimeoutError
from headwater.operations import control
from headwater.operations.control import (
    drained,
    pause,
    read_control,
    repartition,
    resume,
    stop_at,
    write_control,
)
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.storage import Storage
from headwater.subscriptions import runner, session
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.seeing import Seen
from tests.subscriptions.trails import faults, trailing
from tests.subscriptions.workbench import Workbench


@pytest.fixture(autouse=True)
def soon(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.workers = Workers(10, 0.01)
    monkeypatch.setattr(runner, "WAITING_SECONDS", 0.01)


async def until(bench: Workbench, state: SubscriptionState) -> str | None:
    """Return what the subscription says once it is in *state*."""
    async with asyncio.timeout(20):
        while (status := bench.status("mail")).state is not state:
            await bench.storage.wait_for_news(2**31, seconds=0.001)
    return status.error


async def test_nobody_works_what_is_paused_until_it_is_resumed(
    bench: Workbench, storage: Storage
) -> None:
    seen = Seen()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()

    await pause(storage, "mail", by="ada", reason="the mail server moves")
    said = await until(bench, SubscriptionState.PAUSED)
    await bench.book("a")
    with pytest.raises(WaitTimeoutError, match="It was paused by ada: the mail server moves"):
        await subscriptions.wait_for("mail", 2, timeout=0.05)
    owners = [state.worker for state in await storage.partition_states("mail")]
    seen_while_paused = list(seen.positions)
    await resume(storage, "mail")
    await subscriptions.settle()

    assert said == "was paused by ada: the mail server moves"
    assert owners == [None] * 4
    assert seen_while_paused == [1]
    assert seen.positions == [1, 2]


async def test_what_is_in_hand_when_it_is_paused_is_not_acknowledged(
    bench: Workbench, storage: Storage
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hold(_arrival: Arrival) -> None:
        entered.set()
        await release.wait()

    await bench.book("a")
    subscriptions = await bench.start(await trailing(bench, hold))
    await entered.wait()
    await pause(storage, "mail")
    release.set()
    await until(bench, SubscriptionState.PAUSED)
    positions = await bench.positions("mail")
    await resume(storage, "mail")
    await subscriptions.settle()

    assert positions == [0] * 4
    assert await faults(bench) == []


@pytest.mark.parametrize("together", [True, False], ids=["projection", "subscriber"])
async def test_every_partition_is_worked_exactly_up_to_where_it_is_told_to_stop(
    bench: Workbench, storage: Storage, *, together: bool
) -> None:
    make = bench.projection(page_events=7) if together else trailing(bench, page_events=7)
    name = "balances" if together else "mail"
    subscriptions = await bench.start(await make)
    for n in range(20):
        await bench.book(f"a{n % 7}")
    at = await stop_at(storage, name, 30, by="ada")
    for n in range(20):
        await bench.book(f"a{n % 7}")
    await drained(storage, name, at, seconds=20)
    positions = await bench.positions(name)
    events = (await storage.read_log()).events
    ids = {checkpoint.event_id for checkpoint in await bench.checkpoints(name)}
    await resume(storage, name)
    await subscriptions.settle()

    assert (at, positions) == (30, [30] * 4)
    assert ids == {events[29].id}
    if not together:
        assert await faults(bench) == []


async def test_a_worker_that_hears_of_it_twice_does_not_go_past_where_it_is_to_stop(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once as a commit was refused, and once more as its leases are renewed."""
    monkeypatch.setattr(session, "IDLE_SECONDS", 1000.0)
    bench.workers = Workers(200, 100)
    subscriptions = await bench.start(mail := bench.subscriber(Seen()))
    await bench.book("a")
    await subscriptions.settle()
    working = mail.places.session
    assert working is not None
    await stop_at(storage, "mail", 1)

    def ended(*, give_up: bool) -> None:
        assert give_up
        working._ended.set()  # pyright: ignore[reportPrivateUsage]

    with monkeypatch.context() as patching:
        patching.setattr(working, "end", ended)
        await working.control_changed()
        await working.control_changed()

    assert mail.places.control.guards != (mail.places.control.stored.guard("mail"),)


async def test_where_to_stop_is_never_before_what_was_done(
    bench: Workbench, storage: Storage
) -> None:
    subscriptions = await bench.start(await trailing(bench))
    for n in range(10):
        await bench.book(f"a{n}")
    await subscriptions.settle()

    at = await stop_at(storage, "mail", 3)
    await drained(storage, "mail", at, seconds=20)

    assert at == 10
    assert await bench.positions("mail") == [10] * 4


async def test_what_is_paused_is_worked_by_nobody_for_the_sake_of_more_partitions(
    bench: Workbench, storage: Storage
) -> None:
    seen = Seen()
    subscriptions = await bench.start(bench.subscriber(seen))
    await bench.book("a")
    await subscriptions.settle()
    await pause(storage, "mail", by="ada", reason="mails are doubled")
    await until(bench, SubscriptionState.PAUSED)
    await bench.book("a")

    # All stand at one place: nothing has to be worked for it.
    await repartition(storage, storage, "mail", partitions=6)
    assert await bench.positions("mail") == [1] * 6
    await storage.commit(Changes(checkpoints=(CheckpointMove("mail", 0, 1, 2),)))
    for ask in (
        repartition(storage, storage, "mail", partitions=4),
        stop_at(storage, "mail", 2),
    ):
        with pytest.raises(ConfigurationError, match="was paused by ada: mails are doubled"):
            await ask

    assert seen.positions == [1]
    assert (await read_control(storage, "mail")).waits_for == (
        "was paused by ada: mails are doubled"
    )


async def test_one_that_is_retired_is_left_alone_for_ever(
    bench: Workbench, storage: Storage
) -> None:
    await bench.start(await trailing(bench))
    await bench.book("a")
    await write_control(storage, "mail", retired=True, reason="mail@2 has taken over")

    said = await until(bench, SubscriptionState.RETIRED)

    assert said == "is retired: mail@2 has taken over"
    with pytest.raises(ConfigurationError, match="'mail' is retired"):
        await resume(storage, "mail")


async def test_a_subscription_gets_more_partitions_while_it_is_at_work(
    bench: Workbench, storage: Storage
) -> None:
    subscriptions = await bench.start(await trailing(bench))
    enough = asyncio.Event()

    async def load() -> None:
        while not enough.is_set():
            await asyncio.gather(*(bench.book(f"a{n}") for n in range(9)))

    loading = asyncio.create_task(load())
    for partitions in (7, 2):
        await repartition(storage, storage, "mail", partitions=partitions, seconds=20)
        assert len(await bench.positions("mail")) == partitions
    enough.set()
    await loading
    await subscriptions.settle()

    assert await faults(bench) == []
    assert (await read_control(storage, "mail")).stop_at is None
    assert len(bench.status("mail").checkpoints) == 2


async def test_one_of_several_workers_looks_after_there_are_fewer_partitions(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "IDLE_SECONDS", 1000.0)
    bench.workers = Workers(200, 100)
    await storage.open_subscription("mail", partitions=4, start_after=0)
    await storage.lease_partitions("other", ("mail",), seconds=100)
    await storage.release_partitions("other", "mail", [2, 3])
    subscriptions = await bench.start(await trailing(bench))
    async with asyncio.timeout(20):
        while not all(bench.status("mail").owners[2:]):
            await storage.wait_for_news(2**31, seconds=0.001)

    await storage.release_partitions("other", "mail")
    await storage.repartition("mail", partitions=2)
    await subscriptions.look()

    assert bench.status("mail").state is not SubscriptionState.FAILED
    for n in range(5):
        await bench.book(f"a{n}")
    await subscriptions.settle()
    assert len(bench.status("mail").checkpoints) == 2
    assert await faults(bench) == []


async def test_without_workers_only_what_stands_at_one_position_is_repartitioned(
    bench: Workbench, storage: Storage
) -> None:
    await storage.open_subscription("mail", partitions=4, start_after=0)
    await bench.book("a")
    await repartition(storage, storage, "mail", partitions=6)
    assert await bench.positions("mail") == [0] * 6

    await storage.commit(Changes(checkpoints=(CheckpointMove("mail", 0, 0, 1),)))
    with pytest.raises(WaitTimeoutError, match="reached position 0 of 1"):
        await repartition(storage, storage, "mail", partitions=4, seconds=0.01)

    assert (await read_control(storage, "mail")).stop_at is None


@pytest.mark.parametrize("ask", [pause, resume])
async def test_what_was_never_run_can_not_be_controlled(
    storage: Storage, ask: Callable[..., Awaitable[control.Control]]
) -> None:
    with pytest.raises(ConfigurationError, match=r"no subscription 'mail'.*\(none\)"):
        await ask(storage, "mail")


async def test_a_receipt_without_events_is_waited_for_also_while_paused(
    bench: Workbench, storage: Storage
) -> None:
    subscriptions: Subscriptions = await bench.start(bench.subscriber(Seen()))
    await pause(storage, "mail")
    await until(bench, SubscriptionState.PAUSED)

    await subscriptions.wait_for("mail", 0)
