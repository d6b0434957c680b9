"""Old events in a running app: everybody who reads gets what they are today."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from headwater import (
    Aggregate,
    BoundedContext,
    Collection,
    Command,
    Decider,
    Delivery,
    Event,
    EventStore,
    ExpectedVersion,
    Projection,
    RawEvent,
    ReadModel,
    Recorded,
    Repository,
    UnitOfWork,
    applies,
)
from headwater.app import App
from headwater.errors import SubscriptionFailedError, WiringError
from headwater.ports.storage import Storage

ANY = ExpectedVersion.any()


class CustomerCreated(Event, context="crm"):
    customer: str
    name: str


class CustomerMoved(Event, context="crm"):
    customer: str
    city: str


class CustomerRenamed(Event, context="crm", version=2):
    customer: str
    name: str


class Customer(Aggregate[str], context="crm"):
    name: str = ""
    city: str = ""

    @applies
    def _created(self, event: CustomerCreated) -> None:
        self.name = event.name

    @applies
    def _moved(self, event: CustomerMoved) -> None:
        self.city = event.city

    @applies
    def _renamed(self, event: CustomerRenamed) -> None:
        self.name = event.name


class Rename(Command[str], context="crm"):
    customer: str
    name: str


class City(ReadModel, key="name", context="crm"):
    name: str
    customers: int = 0


class Cities(Projection[City]):
    @applies(key=lambda event: event.city)
    def moved(self, event: CustomerMoved, city: City | None) -> City:
        if event.city == "Sodom" and city is not None:
            raise ValueError("nobody goes there twice")
        return City(event.city, (city.customers if city else 0) + 1)


OLD: Sequence[RawEvent] = (
    RawEvent("crm.registered", b'{"customer":"7","name":"ada","city":"London"}'),
    RawEvent("crm.page-viewed", b"{}"),
    RawEvent("crm.customer-renamed", b'{"customer":"7","full_name":"Ada"}'),
    RawEvent("crm.page-viewed", b"{}"),
)
"""One that is split, two that are dropped, one in an older version: a stream of four events."""


def crm() -> BoundedContext:
    context = BoundedContext("crm")
    context.upcasters.drop_event("crm.page-viewed")
    context.upcasters.change_fields("crm.customer-renamed", version=1, rename={"full_name": "name"})

    @context.upcaster(
        "crm.registered", version=1, to=["crm.customer-created", "crm.customer-moved"]
    )
    def registered(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        customer = data["customer"]
        yield "crm.customer-created", 1, {"customer": customer, "name": data["name"]}
        yield "crm.customer-moved", 1, {"customer": customer, "city": data["city"]}

    @context.handler
    async def rename(command: Rename, customers: Repository[Customer]) -> str:
        customer = await customers.get(command.customer)
        customer.record(CustomerRenamed(command.customer, command.name))
        return f"{customer.name} of {customer.city}"

    return context


async def old_events(app: App, customer: str = "7", *, city: str = "London") -> int:
    events = [
        RawEvent(
            event.type,
            event.data.replace(b'"7"', b'"%s"' % customer.encode()).replace(
                b"London", city.encode()
            ),
        )
        for event in OLD
    ]
    store = app.event_store
    return (await store.append(f"crm.customer-{customer}", events, expected=ANY)).position


# ---------------------------------------------------------------------- loading and deciding


async def test_an_aggregate_with_old_events_is_loaded_and_changed(storage: Storage) -> None:
    app = App("crm-app", storage=storage)
    app.include(crm())

    async with app:
        await old_events(app)
        first = await app.send(Rename("7", "Ada L."))
        second = await app.send(Rename("7", "Ada"))
        versions = [event.version async for event in app.event_store.read_stream("crm.customer-7")]

    # Neither the parts nor what was dropped count: the version is that of the stream.
    assert (first, second) == ("Ada L. of London", "Ada of London")
    assert versions == [1, 1, 3, 5, 6]


async def test_a_decider_with_old_events_decides_on_the_version_of_the_stream(
    storage: Storage,
) -> None:
    def decide(command: Rename, names: int) -> list[CustomerRenamed]:
        return [CustomerRenamed(command.customer, f"{command.name} {names}")]

    def evolve(names: int, event: CustomerRenamed) -> int:
        return names + 1

    renames = Decider(name="customer", decide=decide, evolve=evolve, initial=0, context="crm")
    context = BoundedContext("crm")
    context.decider(renames)
    context.upcasters.drop_event("crm.page-viewed")
    context.upcasters.drop_event("crm.registered")
    context.upcasters.change_fields("crm.customer-renamed", version=1, rename={"full_name": "name"})

    @context.handler
    async def rename(command: Rename, unit: UnitOfWork) -> str:
        (event,) = await unit.decide(renames, command.customer, command)
        return event.name

    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        await old_events(app)
        answers = [await app.send(Rename("7", "Ada")), await app.send(Rename("7", "Ada"))]

    assert answers == ["Ada 1", "Ada 2"]


# ----------------------------------------------------------------------------- subscriptions


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

    @before.subscriber(name="note")
    async def fail(_event: ClientMoved, delivery: Delivery) -> None:
        keys.append(delivery.idempotency_key)
        raise ValueError("not now")

    @after.subscriber(name="note")
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

    @context.subscriber(partitions=1)
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


async def rows(app: App, *names: str) -> list[int | None]:
    async with app.event_store.unit_of_work() as unit:
        found = [await unit.collection(City).get(name) for name in names]
    return [row.customers if row else None for row in found]


class Nickname(ReadModel, key="owner", unique=("nick",), context="crm"):
    owner: str
    nick: str


async def test_a_refused_commit_is_laid_to_the_event_and_takes_back_all_its_parts(
    storage: Storage,
) -> None:
    context = crm()
    context.register(CustomerRenamed)

    @context.subscriber(partitions=1)
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


# ------------------------------------------------------------------------------- projections


async def test_a_projection_folds_what_old_events_are_today(storage: Storage) -> None:
    context = crm()
    context.projection(Cities)
    context.register(Customer)
    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        for customer in ("7", "8"):
            await old_events(app, customer)
        await app.event_store.append("crm.customer-9", [CustomerMoved("9", "London")], expected=ANY)
        await app.settle()
        counts = await rows(app, "London")

    assert counts == [3]


async def test_a_part_that_can_not_be_folded_takes_back_those_before_it(
    storage: Storage,
) -> None:
    context = BoundedContext("crm")
    context.projection(Cities)
    to = ["crm.customer-moved"]

    @context.upcaster("crm.toured", version=1, to=to)
    def toured(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        for city in data["cities"]:
            yield "crm.customer-moved", 1, {"customer": data["customer"], "city": city}

    app = App("crm-app", storage=storage)
    app.include(context)
    tours = [b'["Rome","Rome"]', b'["Sodom","Sodom"]']

    async with app:
        for tour in tours:
            event = RawEvent("crm.toured", b'{"customer":"7","cities":%s}' % tour)
            await app.event_store.append("crm.customer-7", [event], expected=ANY)
        with pytest.raises(SubscriptionFailedError) as raised:
            await app.settle()
        counts = await rows(app, "Rome", "Sodom")

    assert raised.value.position == 2
    assert counts == [2, None]


# ------------------------------------------------------------------------------ asking by type


async def test_reading_by_type_finds_old_events_and_no_other_parts(storage: Storage) -> None:
    context = crm()
    context.register(Customer)
    app = App("crm-app", storage=storage)
    app.include(context)

    async with app:
        await old_events(app)
        store: EventStore = app.event_store
        moved = [event async for event in store.read_all(types=[CustomerMoved])]
        backwards = [
            type(event.payload).__name__
            async for event in store.read_stream("crm.customer-7", backwards=True)
        ]

    assert [(event.payload, event.type) for event in moved] == [
        (CustomerMoved("7", "London"), "crm.customer-moved")
    ]
    assert backwards == ["CustomerRenamed", "CustomerMoved", "CustomerCreated"]


# ------------------------------------------------------------------------------- at the start


def test_what_is_wrong_with_upcasters_is_told_with_everything_else() -> None:
    class Gone(Event, context="crm"):
        pass

    context = BoundedContext("crm")
    context.register(CustomerRenamed, CustomerMoved, Gone)
    context.upcasters.rename_event("crm.gone", to="crm.customer-moved")
    context.upcasters.rename_event("crm.client-moved", to="crm.customer-mvoed")
    context.upcasters.rename_event("crm.client-renamed", to=("crm.customer-renamed", 3))

    @context.subscriber
    async def note(_event: Gone) -> None: ...

    app = App("crm-app")
    app.include(context)

    with pytest.raises(WiringError) as raised:
        app.check()

    problems = "\n".join(map(str, raised.value.faults))
    assert len(raised.value.faults) == 3
    assert "wants Gone, but upcasters make something else" in problems
    assert "'crm.customer-mvoed' version 1, which nobody knows" in problems
    assert "CustomerRenamed is version 2" in problems


def test_upcasters_of_an_included_context_count_once() -> None:
    part = BoundedContext("crm")
    part.register(CustomerMoved)
    part.upcasters.rename_event("crm.client-moved", to="crm.customer-moved")
    whole = BoundedContext("whole")
    whole.include(part)
    app = App("crm-app")
    app.include(part, whole)

    app.check()


async def test_an_event_store_without_an_app_takes_upcasters_too(storage: Storage) -> None:
    with pytest.raises(WiringError, match="which nobody knows"):
        EventStore(storage, upcasters=crm().upcasters)
