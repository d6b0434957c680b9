"""Subscribers get what old events are today."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from headwater import (
    BoundedContext,
    Collection,
    Delivery,
    Event,
    RawEvent,
    ReadModel,
    Recorded,
    UnitOfWork,
)
from headwater.app import App
from headwater.errors import SubscriptionFailedError
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.policy import OnFailure
from tests.app.customers import (
    ANY,
    Cities,
    City,
    Customer,
    CustomerCreated,
    CustomerMoved,
    CustomerRenamed,
    crm,
    old_events,
    rows,
)


async def test_a_subscriber_gets_what_old_events_are_today_in_order(storage: Storage) -> None:
    context, got = crm(), list[tuple[object, int, int]]()
    context.register(Customer)

    @context.subscriber
    async def note(event: Recorded[CustomerCreated | CustomerMoved | CustomerRenamed]) -> None:
        got.append((event.payload, event.version, event.position))

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        head = await old_events(app)
        assert await app.settle() == head

    assert got == [
        (CustomerCreated("7", "ada"), 1, 1),
        (CustomerMoved("7", "London"), 1, 1),
        (CustomerRenamed("7", "Ada"), 3, 3),
    ]


async def test_each_part_has_a_delivery_of_its_own_and_events_made_of_it_too(
    storage: Storage,
) -> None:
    context, deliveries = crm(), list[Delivery]()

    class Noted(Event, context="crm"):
        what: str

    context.register(Noted)

    @context.subscriber
    async def note(
        event: CustomerCreated | CustomerMoved, delivery: Delivery, unit: UnitOfWork
    ) -> None:
        deliveries.append(delivery)
        unit.append("crm.note-1", Noted(type(event).__name__))

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        await old_events(app)
        await app.settle()
        stored = await app.storage.read_stream("crm.customer-7")
        notes = [event async for event in app.event_store.read_stream("crm.note-1")]

    first, second = deliveries
    assert first.event_id == UUID(bytes=stored[0].id)
    assert first.event_id != second.event_id
    assert first.idempotency_key != second.idempotency_key
    assert [note.payload.what for note in notes] == ["CustomerCreated", "CustomerMoved"]
    assert [note.causation_id for note in notes] == [first.event_id, second.event_id]
    assert {note.correlation_id for note in notes} == {first.event_id}


class ClientMoved(Event, context="crm"):
    customer: str
    city: str


async def test_a_key_stays_the_same_when_an_event_is_renamed_between_two_attempts(
    storage: Storage,
) -> None:
    keys: list[UUID] = []
    before, after = BoundedContext("crm"), BoundedContext("crm")
    after.upcasters.rename_event("crm.client-moved", to="crm.customer-moved")

    @before.subscriber(name="note", on_failure=OnFailure.STOP)
    async def fail(_event: ClientMoved, delivery: Delivery) -> None:
        keys.append(delivery.idempotency_key)
        raise ValueError("not now")

    @after.subscriber(name="note", on_failure=OnFailure.STOP)
    async def note(_event: CustomerMoved, delivery: Delivery) -> None:
        keys.append(delivery.idempotency_key)

    first, second = App("crm-app", storage=storage), App("crm-app", storage=storage)
    first.include(before)
    second.include(after)
    async with first:
        await first.event_store.append("crm.c-1", [ClientMoved("1", "Rome")], expected=ANY)
        with pytest.raises(SubscriptionFailedError):
            await first.settle()
    async with second:
        await second.settle()

    assert len(keys) == 2
    assert keys[0] == keys[1]


async def test_a_subscriber_that_wants_one_part_gets_only_that(storage: Storage) -> None:
    context, got = crm(), list[object]()
    context.register(CustomerCreated, CustomerRenamed)

    @context.subscriber
    async def note(event: CustomerMoved) -> None:
        got.append(event)

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        await old_events(app)
        await app.settle()

    assert got == [CustomerMoved("7", "London")]


@pytest.mark.parametrize("as_projection", [True, False])
async def test_newer_events_of_a_type_that_once_was_more_are_passed_over(
    storage: Storage, *, as_projection: bool
) -> None:
    context, got = BoundedContext("crm"), list[object]()
    context.register(CustomerRenamed)

    @context.upcaster(
        "crm.customer-renamed", version=1, to=[("crm.customer-renamed", 2), "crm.customer-moved"]
    )
    def split(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        yield "crm.customer-moved", 1, {"customer": data["customer"], "city": data.pop("city")}
        yield "crm.customer-renamed", 2, data

    if as_projection:
        context.projection(Cities)
    else:

        @context.subscriber
        async def note(event: CustomerMoved) -> None:
            got.append(event)

    app = App("crm-app", storage=storage)
    app.include(context)
    old = RawEvent("crm.customer-renamed", b'{"customer":"7","name":"Ada","city":"London"}')

    async with app:
        events = [old, CustomerRenamed("7", "Ada L.")]
        await app.event_store.append("crm.customer-7", events, expected=ANY)
        await app.settle()
        if as_projection:
            got += [*await rows(app, "London")]

    assert got == ([1] if as_projection else [CustomerMoved("7", "London")])


async def test_a_part_that_fails_takes_back_those_before_it_and_blames_the_event(
    storage: Storage,
) -> None:
    context, failing = crm(), [True]
    context.register(CustomerRenamed)

    @context.subscriber(partitions=1, on_failure=OnFailure.STOP)
    async def note(event: CustomerCreated | CustomerMoved, cities: Collection[City]) -> None:
        if isinstance(event, CustomerMoved) and event.customer == "8" and failing[0]:
            raise ValueError("not now")
        name = type(event).__name__
        row = await cities.get(name)
        cities.put(City(name, (row.customers if row else 0) + 1))

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        first = await old_events(app, "7")
        await old_events(app, "8")
        with pytest.raises(SubscriptionFailedError) as raised:
            await app.settle()
        [status] = app.status()
        before = await rows(app, "CustomerCreated", "CustomerMoved")
        failing[0] = False
        await app.restart(note)
        await app.settle()
        after = await rows(app, "CustomerCreated", "CustomerMoved")

    assert raised.value.position == first + 1
    assert "crm.customer-8" in str(raised.value)
    assert status.checkpoints[0] <= first
    assert before == [1, 1]
    assert after == [2, 2]


class Nickname(ReadModel, key="owner", unique=("nick",), context="crm"):
    owner: str
    nick: str


async def test_a_refused_commit_is_laid_to_the_event_and_takes_back_all_its_parts(
    storage: Storage,
) -> None:
    context = crm()
    context.register(CustomerRenamed)

    @context.subscriber(partitions=1, on_failure=OnFailure.STOP)
    async def note(
        event: CustomerCreated | CustomerMoved,
        nicks: Collection[Nickname],
        cities: Collection[City],
    ) -> None:
        if isinstance(event, CustomerMoved):
            # Taken by the first customer, which is found out by the commit of the whole batch.
            nicks.put(Nickname(event.customer, "the mover"))
        else:
            cities.put(City(event.customer, 1))

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        first = await old_events(app, "7")
        await old_events(app, "8")
        with pytest.raises(SubscriptionFailedError) as raised:
            await app.settle()
        [status] = app.status()
        written = await rows(app, "7", "8")

    assert raised.value.position == first + 1
    # Behind it where the first customer's events were a page of their own.
    [checkpoint] = status.checkpoints
    assert 1 <= checkpoint <= first
    assert written == [1, None]
