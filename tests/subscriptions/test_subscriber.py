"""Subscribers: every event once in effect, in order per key, nothing skipped."""

from uuid import UUID

import pytest

from headwater.errors import (
    ConfigurationError,
    SubscriptionFailedError,
    WaitTimeoutError,
)
from headwater.metadata import current_context, message_context
from headwater.ports.leases import Checkpoint
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.start import Start
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival, partition_of
from headwater.unit_of_work.unit import CURRENT_UNIT
from tests.subscriptions.ledger import Booked
from tests.subscriptions.seeing import Seen
from tests.subscriptions.workbench import Workbench


async def test_old_events_and_new_ones_arrive_once_each(bench: Workbench) -> None:
    seen = Seen()
    for n in range(50):
        await bench.book(str(n % 7))
    subscriptions = await bench.start(bench.subscriber(seen, page_events=10))
    for n in range(50):
        await bench.book(str(n % 7))

    assert await subscriptions.settle() == 100

    assert sorted(seen.positions) == list(range(1, 101))


async def test_events_of_one_stream_arrive_in_order(bench: Workbench) -> None:
    seen = Seen()
    for n in range(60):
        await bench.book(str(n % 3))
    subscriptions = await bench.start(bench.subscriber(seen, page_events=25))

    await subscriptions.settle()

    for stream in {delivery.stream_id for delivery in seen.deliveries}:
        versions = [d.version for d in seen.deliveries if d.stream_id == stream]
        assert versions == list(range(1, 21))


async def test_a_restart_goes_on_where_it_was(bench: Workbench) -> None:
    seen = Seen()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()
    await subscriptions.stop()
    await bench.book("b")

    again = await bench.start(bench.subscriber(seen))
    await again.settle()

    assert seen.positions == [1, 2]


async def test_a_stop_stores_the_checkpoints_of_idle_partitions(bench: Workbench) -> None:
    subscriptions = await bench.start(bench.subscriber(Seen()))
    await bench.book("a")
    await subscriptions.settle()
    await subscriptions.stop()

    (event,) = await bench.storage.read_stream("ledger-a")
    assert await bench.checkpoints("mail") == [Checkpoint(1, event.id)] * 4


async def test_a_new_subscription_can_start_from_now(bench: Workbench) -> None:
    seen = Seen()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen, start=Start.end()))
    await bench.book("a")

    await subscriptions.settle()

    assert seen.positions == [2]


async def test_a_failing_handler_stops_its_subscription_after_the_good_prefix(
    bench: Workbench,
) -> None:
    seen = Seen()
    seen.fail_at = 6
    for _ in range(10):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))

    with pytest.raises(SubscriptionFailedError, match="position 6: RuntimeError: mail server"):
        await subscriptions.settle()

    status = bench.status("mail")
    assert status.state is SubscriptionState.FAILED
    assert status.failed_at == 6
    assert "mail server is down" in (status.error or "")
    assert seen.positions == [1, 2, 3, 4, 5]
    fifth = (await bench.storage.read_stream("ledger-a"))[4]
    stored = await bench.checkpoints("mail")
    assert stored[partition_of("ledger-a", 4)] == Checkpoint(5, fifth.id)


async def test_after_the_cause_is_mended_it_goes_on_with_the_event_that_failed(
    bench: Workbench,
) -> None:
    seen = Seen()
    seen.fail_at = 3
    for account in ("a", "b", "a", "b", "a"):
        await bench.book(account)
    subscriptions = await bench.start(bench.subscriber(seen))
    with pytest.raises(SubscriptionFailedError):
        await subscriptions.settle()

    seen.fail_at = None
    await subscriptions.restart("mail")
    await subscriptions.settle()

    assert sorted(seen.positions) == [1, 2, 3, 4, 5]


async def test_what_a_handler_collects_is_committed_once_with_the_checkpoint(
    bench: Workbench,
) -> None:
    async def close_after_three(arrival: Arrival, _delivery: Delivery) -> None:
        unit = CURRENT_UNIT.get()
        assert unit is not None
        if arrival.stored.stream_id.startswith("ledger-") and arrival.stored.version % 3 == 0:
            unit.append(f"notes-{arrival.stored.stream_id}", Booked("note", 0))

    for _ in range(9):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(close_after_three))

    await subscriptions.settle()

    notes = await bench.storage.read_stream("notes-ledger-a")
    assert len(notes) == 3


async def test_what_is_made_of_an_event_has_an_id_derived_from_it(bench: Workbench) -> None:
    made: list[UUID] = []

    async def note(arrival: Arrival, _delivery: Delivery) -> None:
        unit = CURRENT_UNIT.get()
        assert unit is not None
        if arrival.stored.stream_id == "ledger-a":
            unit.append("notes-1", Booked("note", 0))

    await bench.book("a")
    for name in ("first", "second", "first"):
        target = Workbench(bench.storage)
        subscriptions = await target.start(target.subscriber(note, name=name))
        await subscriptions.settle()
        await subscriptions.stop()

    notes = await bench.storage.read_stream("notes-1")
    made = [UUID(bytes=each.id) for each in notes]
    assert len(set(made)) == 2
    assert all(id.version == 7 for id in made)


async def test_context_and_delivery_tell_what_caused_the_call(bench: Workbench) -> None:
    contexts: list[object] = []
    seen = Seen()

    async def handle(arrival: Arrival, delivery: Delivery) -> None:
        contexts.append(current_context())
        await seen(arrival, delivery)

    with message_context(actor="ada", tenant="acme") as sent:
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(handle))
    await subscriptions.settle()

    [context] = contexts
    [delivery] = seen.deliveries
    assert context.correlation_id == sent.correlation_id  # type: ignore[attr-defined] # a context
    assert context.message_id == delivery.event_id  # type: ignore[attr-defined]
    assert (context.actor, context.tenant) == ("ada", "acme")  # type: ignore[attr-defined]
    assert (delivery.subscription, delivery.position) == ("mail", 1)


async def test_waiting_for_what_does_not_come_ends_with_both_positions(bench: Workbench) -> None:
    subscriptions = await bench.start(bench.subscriber(Seen()))
    await bench.book("a")
    await subscriptions.settle()

    with pytest.raises(WaitTimeoutError, match="reached position 1 of 99"):
        await subscriptions.wait_for("mail", 99, timeout=0.01)
    with pytest.raises(ConfigurationError, match="No subscription 'post'"):
        await subscriptions.wait_for("post", 1)
