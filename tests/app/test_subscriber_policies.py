"""Subscribers under policies: attempts on the spot, delayed ones, and what a handler is told."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from headwater import (
    Command,
    Delivery,
    MessageContext,
    Next,
    OnFailure,
    Sender,
    Stage,
    UnitOfWork,
)
from headwater.errors import (
    ParkedKeyError,
    RefusedError,
    SubscriptionFailedError,
    WiringError,
)
from headwater.ports.storage import Storage
from headwater.resilience import (
    CircuitBreaker,
    Policy,
    Retry,
    RetryHandler,
    Timeout,
    current_attempt,
)
from headwater.testing import TestApp
from tests.app.orders import Orders, sales
from tests.app.shop import OrderPlaced, OrderShipped, OrderTagged, PlaceOrder, ShipOrder

A, B = UUID(int=1), UUID(int=2)

AT_ONCE = Retry(attempts=3, delay=0)


class MailError(Exception):
    pass


class Remind(Command[None], context="sales"):
    order_id: UUID


async def test_only_what_the_attempt_that_succeeds_collects_is_committed(storage: Storage) -> None:
    context, attempts, ids = sales(projection=False), list[int](), list[object]()

    @context.subscriber(policy=AT_ONCE)
    async def note(event: OrderPlaced, unit: UnitOfWork, delivery: Delivery) -> None:
        unit.append(delivery.stream_id, OrderTagged(event.order_id, f"try {delivery.attempt}"))
        attempts.append(delivery.attempt)
        ids.append(delivery.idempotency_key)
        assert delivery.attempt == current_attempt()
        if delivery.attempt < 3:
            raise MailError

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.settle()

        await app.recorder.assert_appended(OrderPlaced(A, PlaceOrder(A).total))
        tags = await app.recorder.records(OrderTagged)

    assert [tag.payload.tag for tag in tags] == ["try 3"]
    assert attempts == [1, 2, 3]
    assert len(set(ids)) == 1


async def test_ids_of_what_is_made_do_not_depend_on_how_often_it_was_tried(
    storage: Storage,
) -> None:
    context, made = sales(projection=False), list[bytes]()

    @context.subscriber(policy=AT_ONCE)
    async def note(event: OrderPlaced, unit: UnitOfWork, delivery: Delivery) -> None:
        unit.append("sales.order-notes", OrderTagged(event.order_id, "seen"))
        made.extend(sealed.id for _, sealed in unit.appends)
        if delivery.attempt < 3:
            raise MailError

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.settle()
        [tagged] = await app.recorder.records(OrderTagged)

    assert made == [tagged.id.bytes] * 3


async def test_each_attempt_is_a_delivery_with_its_behaviours(storage: Storage) -> None:
    context, seen = sales(projection=False), list[str]()

    @context.behaviour(stage=Stage.DELIVERY)
    async def around(event: OrderPlaced, next: Next[Any, Any], delivery: Delivery) -> None:
        seen.append(f"before {delivery.attempt}")
        try:
            await next(event)
        finally:
            seen.append(f"after {delivery.attempt}")

    @context.subscriber(policy=AT_ONCE)
    async def mail(event: OrderPlaced, delivery: Delivery) -> None:
        seen.append("handled")
        if delivery.attempt == 1:
            raise MailError

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.settle()

    once = ["before {}", "handled", "after {}"]
    assert seen == [each.format(n) for n in (1, 2) for each in once]


@pytest.mark.parametrize("inline", [True, False])
async def test_a_def_is_called_and_an_async_def_is_awaited_under_policies_and_behaviours(
    storage: Storage, *, inline: bool
) -> None:
    context, seen = sales(projection=False), list[str]()

    @context.behaviour(stage=Stage.DELIVERY)
    async def around(event: OrderPlaced, next: Next[Any, Any]) -> None:
        seen.append("around")
        await next(event)

    @context.subscriber(policy=AT_ONCE, inline=inline)
    def plain(event: OrderPlaced) -> None:
        seen.append("def")
        if seen.count("def") == 1:
            raise MailError

    @context.subscriber
    class Methods:
        def handle_placed(self, event: OrderPlaced) -> None:
            seen.append("def method")

        async def handle_shipped(self, event: OrderShipped) -> None:
            seen.append("async method")

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(ShipOrder(A))
        await app.settle()

    assert sorted(seen) == [*["around"] * 3, "async method", "def", "def", "def method"]


async def test_attempts_are_counted_on_whether_on_the_spot_delayed_or_replayed(
    storage: Storage,
) -> None:
    context, attempts = sales(projection=False), list[int]()

    @context.subscriber(policy=Retry(attempts=2, delay=0), delayed=(10, timedelta(minutes=1)))
    async def mail(event: OrderPlaced, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise MailError

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        while len(attempts) < 6:
            app.clock.advance(1)
            await asyncio.sleep(0.001)

        with pytest.raises(ParkedKeyError):
            await app.settle()
        dead_letters = app.app.dead_letters
        await dead_letters.replay(await dead_letters.list(), by="ada")
        while len(attempts) < 8:
            app.clock.advance(1)
            await asyncio.sleep(0.001)

    # Two on the spot: for the first time, after each delay, and after the replay.
    assert attempts == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_on_failure_says_what_becomes_of_the_event(storage: Storage) -> None:
    context, seen = sales(projection=False), list[tuple[str, int]]()
    shipped = asyncio.Event()

    async def failing(name: str, event: OrderPlaced | OrderShipped) -> None:
        if isinstance(event, OrderPlaced) and event.order_id == A:
            raise MailError
        seen.append((name, event.order_id.int))
        if name == "event" and isinstance(event, OrderShipped):
            shipped.set()

    @context.subscriber
    async def by_default(event: OrderPlaced | OrderShipped) -> None:
        await failing("default", event)

    @context.subscriber(on_failure=OnFailure.PARK_EVENT)
    async def park_event(event: OrderPlaced | OrderShipped) -> None:
        await failing("event", event)

    @context.subscriber(on_failure=OnFailure.STOP, partitions=1)
    async def stop(event: OrderPlaced | OrderShipped) -> None:
        await failing("stop", event)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(PlaceOrder(B))
        receipt = await app.execute(ShipOrder(A))

        with pytest.raises(ParkedKeyError):
            await app.wait_for(by_default, receipt)
        await shipped.wait()
        with pytest.raises(SubscriptionFailedError):
            await app.wait_for(stop, receipt)

    # Behind the parked key the shipping waits; past the parked event it does not.
    assert sorted(seen) == [("default", 2), ("event", 1), ("event", 2)]


async def test_a_refusal_is_an_answer_and_not_tried_again(storage: Storage) -> None:
    context, calls = sales(projection=False), list[int]()

    @context.subscriber(policy=Policy(AT_ONCE, CircuitBreaker()), delayed=(1, 1))
    async def refuses(event: OrderPlaced) -> None:
        calls.append(1)
        raise RefusedError("no mail on sundays")

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        with pytest.raises(ParkedKeyError):
            await app.settle()

    assert calls == [1]


async def test_the_deadline_is_when_the_timeout_of_the_policy_ends_the_attempt(
    storage: Storage,
) -> None:
    context, told = sales(projection=False), list[object]()
    app = TestApp(context, storage=storage)
    begun = app.clock.now()

    @context.subscriber(policy=Policy(Timeout(60, clock=app.clock), Timeout(5, clock=app.clock)))
    async def limited(event: OrderPlaced, delivery: Delivery, context: MessageContext) -> None:
        told.extend((delivery.deadline, context.deadline))

    @context.subscriber
    async def unlimited(event: OrderPlaced, delivery: Delivery) -> None:
        told.append(delivery.deadline)

    app = TestApp(context, storage=storage, clock=app.clock)
    async with app:
        await app.send(PlaceOrder(A))
        await app.settle()

    assert sorted(told, key=str) == [begun + timedelta(seconds=5), None, None]


async def test_a_command_sent_by_a_subscriber_is_of_the_same_attempt(storage: Storage) -> None:
    context, calls = sales(projection=False), list[int]()

    @context.handler
    async def remind(command: Remind, orders: Orders) -> None:
        (await orders.get(command.order_id)).tag("reminded")
        calls.append(1)
        if len(calls) == 1:
            raise MailError

    @context.subscriber(policy=AT_ONCE)
    async def mail(event: OrderPlaced, sender: Sender) -> None:
        await sender.send(Remind(event.order_id))

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.settle()
        tags = await app.recorder.records(OrderTagged)

    assert len(tags) == 1
    assert calls == [1, 1]


async def test_a_subscriber_that_is_decorated_or_wrapped_is_under_that_policy(
    storage: Storage,
) -> None:
    context, attempts = sales(projection=False), list[tuple[str, int]]()

    @context.subscriber
    @AT_ONCE
    async def decorated(event: OrderPlaced, unit: UnitOfWork, delivery: Delivery) -> None:
        unit.append("sales.order-9", OrderTagged(event.order_id, "decorated"))
        attempts.append(("decorated", delivery.attempt))
        if delivery.attempt < 3:
            raise MailError

    class Wrapped:
        async def handle_placed(self, event: OrderPlaced, delivery: Delivery) -> None:
            attempts.append(("wrapped", delivery.attempt))
            if delivery.attempt < 2:
                raise MailError

        async def handle_shipped(self, event: OrderShipped) -> None: ...

    context.subscriber(policy=Policy())(RetryHandler(Wrapped, 2, delay=0))

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.settle()
        tags = await app.recorder.records(OrderTagged)

    assert len(tags) == 1
    assert sorted(attempts) == [
        ("decorated", 1),
        ("decorated", 2),
        ("decorated", 3),
        ("wrapped", 1),
        ("wrapped", 2),
    ]


def test_methods_of_a_subscriber_under_different_policies_are_a_fault() -> None:
    context = sales()

    @context.subscriber
    class Mixed:
        @AT_ONCE
        async def handle_placed(self, event: OrderPlaced) -> None: ...

        async def handle_shipped(self, event: OrderShipped) -> None: ...

    app = TestApp(context)
    with pytest.raises(WiringError, match="Mixed has methods under different policies") as told:
        app.app.check()

    assert "policy=…" in told.value.faults[0].advice
