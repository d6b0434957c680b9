"""Subscribers of lists: several events of one partition at once, in one commit."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater import (
    App,
    Batching,
    BoundedContext,
    Delivery,
    Event,
    Next,
    OnFailure,
    Recorded,
    Stage,
    UnitOfWork,
    message_context,
)
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConfigurationError,
    ParkedKeyError,
    SubscriptionFailedError,
    WiringError,
)
from headwater.metadata import MessageContext
from headwater.ports.storage import Storage
from headwater.resilience import CircuitBreaker, Policy, Retry
from headwater.streams import ExpectedVersion
from tests.app.orders import sales
from tests.app.shop import OrderPlaced, OrderShipped, OrderTagged, PlaceOrder

A = UUID(int=1)


class MailError(Exception):
    pass


async def tag(app: App, *tags: str, stream: str = "sales.order-1") -> None:
    await app.event_store.append(
        stream, [OrderTagged(A, tag) for tag in tags], expected=ExpectedVersion.any()
    )


def app_of(context: BoundedContext, storage: Storage) -> App:
    app = App("shop", storage=storage)
    app.include(context)
    return app


async def test_a_list_has_at_most_its_size_and_all_of_a_partition_in_order(
    storage: Storage,
) -> None:
    context, got = sales(projection=False), list[list[str]]()

    @context.subscriber(batch=Batching(4), partitions=1)
    async def note(events: list[OrderTagged]) -> None:
        got.append([event.tag for event in events])

    app = app_of(context, storage)
    async with app:
        for n in range(5):
            await tag(app, str(2 * n), str(2 * n + 1), stream=f"sales.order-{n % 2}")
        await app.settle()

    assert [tag for tags in got for tag in tags] == [str(n) for n in range(10)]
    assert max(map(len, got)) <= 4
    assert len(got) < 10


async def test_attempts_rise_for_each_event_while_its_list_is_split(storage: Storage) -> None:
    context, seen = sales(projection=False), dict[int, list[int]]()

    @context.subscriber(partitions=1, batch=Batching(4), policy=Retry(attempts=2, delay=0))
    async def note(events: list[OrderTagged], deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            seen.setdefault(delivery.position, []).append(delivery.attempt)
        if any(event.tag == "poison" for event in events):
            raise MailError

    app = app_of(context, storage)
    async with app:
        await tag(app, "a", "b", "poison", "c")
        with pytest.raises(ParkedKeyError):
            await app.settle()

    assert seen[3] == [1, 2, 3, 4, 5, 6]
    assert seen[1][:2] == seen[2][:2] == seen[4][:2] == [1, 2]
    assert all(sorted(set(attempts)) == attempts for attempts in seen.values())


async def test_records_unions_and_sequences_are_taken_too(storage: Storage) -> None:
    context, got = sales(projection=False), list[object]()

    @context.subscriber(partitions=1)
    class Notes:
        async def handle(
            self, events: Sequence[Recorded[OrderTagged] | Recorded[OrderShipped]]
        ) -> None:
            got.extend(event.payload for event in events)
            assert isinstance(events, list)

    @context.subscriber(partitions=1)
    def plain(events: list[OrderTagged | OrderPlaced]) -> None:
        got.append("plain")

    app = app_of(context, storage)
    async with app:
        await app.event_store.append(
            "sales.order-1", [OrderTagged(A, "x"), OrderShipped(A)], expected=ExpectedVersion.any()
        )
        await app.settle()

    assert set(map(str, got)) == {str(OrderTagged(A, "x")), str(OrderShipped(A)), "plain"}


async def test_what_a_list_collects_is_committed_once_with_its_checkpoint(
    storage: Storage,
) -> None:
    context, lists, failing = sales(projection=False), list[int](), [True]

    @context.subscriber(partitions=1, on_failure=OnFailure.STOP)
    async def count(events: list[OrderTagged], unit: UnitOfWork) -> None:
        unit.append("sales.notes-1", OrderShipped(UUID(int=len(events))))
        if failing[0]:
            raise MailError
        lists.append(len(events))

    app = app_of(context, storage)
    async with app:
        await tag(app, "a", "b", "c")
        with pytest.raises(SubscriptionFailedError):
            await app.wait_for(count, 3)
        before = await storage.read_stream("sales.notes-1")
        failing[0] = False
        await app.restart(count)
        await app.wait_for(count, 3)
        after = await storage.read_stream("sales.notes-1")

    assert before == ()
    assert len(after) == len(lists)
    assert sum(lists) == 3


# ------------------------------------------------------------------------------ splitting


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(count=st.integers(1, 20), bad=st.integers(0, 25), size=st.integers(1, 8))
async def test_a_failing_list_is_split_until_the_failing_event_stands_alone(
    count: int, bad: int, size: int
) -> None:
    context, done, failed_alone = sales(projection=False), list[str](), list[str]()

    @context.subscriber(batch=Batching(size), partitions=1, on_failure=OnFailure.STOP)
    async def note(events: list[OrderTagged], unit: UnitOfWork) -> None:
        for event in events:
            if event.tag == str(bad):
                failed_alone.extend([event.tag] if len(events) == 1 else [])
                raise MailError
            unit.append("sales.done-1", OrderTagged(UUID(int=9), event.tag))
        done.extend(event.tag for event in events)

    storage = MemoryStorage()
    app = app_of(context, storage)
    async with app:
        await tag(app, *map(str, range(count)), stream="sales.order-1")
        if bad < count:
            with pytest.raises(SubscriptionFailedError) as raised:
                await app.wait_for(note, count)
            assert raised.value.position == bad + 1
        else:
            await app.wait_for(note, count)
        written = await storage.read_stream("sales.done-1")

    assert len(written) == min(bad, count)
    assert (failed_alone != []) == (bad < count)


async def test_others_go_on_when_one_event_of_a_list_is_parked(storage: Storage) -> None:
    context, got = sales(projection=False), list[str]()

    @context.subscriber(partitions=1, on_failure=OnFailure.PARK_EVENT)
    async def note(events: list[OrderTagged], deliveries: list[Delivery]) -> None:
        assert [type(each) for each in deliveries] == [Delivery] * len(events)
        assert len({each.idempotency_key for each in deliveries}) == len(events)
        if any(event.tag == "bad" for event in events):
            raise MailError
        got.extend(event.tag for event in events)

    app = app_of(context, storage)
    async with app:
        await tag(app, "a", "b", "bad", "c", "d")
        await tag(app, "e", stream="sales.order-2")
        while len(got) < 5:
            await app.event_store.head()

    assert got == ["a", "b", "c", "d", "e"]


async def test_what_a_policy_did_not_let_through_is_not_split(storage: Storage) -> None:
    context, lists = sales(projection=False), list[int]()
    breaker = CircuitBreaker(1, open_for=3600)

    @context.subscriber(partitions=1, policy=Policy(Retry(attempts=2, delay=0), breaker))
    async def note(events: list[OrderTagged]) -> None:
        lists.append(len(events))
        raise MailError

    app = app_of(context, storage)
    async with app:
        await tag(app, "a", "b", "c", "d")
        while not lists:
            await app.event_store.head()

    # The first failure has opened the breaker, and no event was tried after that.
    assert lists == [4]


# ------------------------------------------------------------------- context, behaviours


async def test_a_list_has_what_all_its_events_have_in_common(storage: Storage) -> None:
    context, contexts = sales(projection=False), list[MessageContext]()

    @context.subscriber(partitions=1)
    async def note(events: list[Recorded[OrderTagged]], current: MessageContext) -> None:
        contexts.append(current)
        assert current.message_id == events[0].id

    app = app_of(context, storage)
    async with app:
        pass
    idle = App("shop", storage=storage, run_subscriptions=False)
    idle.include(sales(projection=False))
    async with idle:
        for actor in ("ada", "bob"):
            with message_context(actor=actor, tenant="acme"):
                await tag(idle, actor)
    async with app:
        await app.settle()

    assert [(each.actor, each.tenant) for each in contexts] == [(None, "acme")]


async def test_behaviours_that_take_lists_stand_around_them(storage: Storage) -> None:
    context, seen = sales(projection=False), list[str]()

    @context.behaviour(stage=Stage.DELIVERY)
    async def both(
        message: OrderTagged | list[OrderTagged], next: Next[Any, Any], delivery: list[Delivery]
    ) -> None:
        seen.append(f"both {type(message).__name__} {len(delivery)}")
        await next(message)

    @context.behaviour(stage=Stage.DELIVERY)
    async def everything(message: object, next: Next[Any, Any]) -> None:
        seen.append(f"everything {type(message).__name__}")
        await next(message)

    @context.subscriber(partitions=1)
    async def lists(events: list[OrderTagged]) -> None:
        seen.append("list")

    app = app_of(context, storage)
    async with app:
        await tag(app, "a", "b")
        await app.settle()
    assert seen == ["both list 2", "everything list", "list"]


def faults_of(context: BoundedContext) -> list[str]:
    app = App("shop")
    app.include(context)
    with pytest.raises(WiringError) as told:
        app.check()
    return [str(fault) for fault in told.value.faults]


def test_what_is_wrong_with_lists_is_told_with_the_advice() -> None:
    context = sales()

    @context.subscriber
    async def lonely(events: list[OrderTagged], delivery: Delivery) -> None: ...

    @context.subscriber(batch=Batching(3))
    async def single(event: OrderTagged) -> None: ...

    @context.subscriber
    async def mixed(events: OrderTagged | list[OrderTagged]) -> None: ...

    @context.subscriber
    class Several:
        async def handle_tagged(self, events: list[OrderTagged]) -> None: ...

        async def handle_placed(self, events: list[OrderPlaced]) -> None: ...

    @context.on
    async def heard(events: list[OrderShipped]) -> None: ...

    @context.handler
    async def commands(commands: list[PlaceOrder]) -> None: ...

    @context.behaviour(stage=Stage.DELIVERY)
    async def around(event: Event, next: Next[Any, Any]) -> None: ...

    @context.behaviour
    async def around_requests(requests: list[PlaceOrder], next: Next[Any, Any]) -> None: ...

    faults = faults_of(context)

    for wanted in (
        "lonely takes a list of events, each with its own delivery, and asks for one.",
        "single takes one event at a time, and has batch=….",
        "mixed takes a list of events, and single ones too. Let one method take them all",
        "Several.handle_tagged takes a list of events, and is not the only method of its class",
        "Several.handle_placed takes a list of events, and is not the only method of its class",
        "heard takes a list, which only durable subscribers get.",
        "commands takes a list, which only durable subscribers get.",
        "around takes a single Event, and",
        "around_requests takes a list, and stands where none comes.",
    ):
        assert any(wanted in fault for fault in faults), (wanted, faults)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": 10_001}, {"wait": -1}, {"wait": 61}])
def test_batching_has_limits(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"A batch (has 1 to|waits for 0 to)"):
        Batching(**arguments)
