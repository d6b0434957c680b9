"""Old events in a running app: everybody who reads gets what they are today."""

from collections.abc import Iterator
from typing import Any

import pytest

from headwater import (
    BoundedContext,
    Decider,
    Event,
    EventStore,
    RawEvent,
    UnitOfWork,
)
from headwater.app import App
from headwater.errors import SubscriptionFailedError, WiringError
from headwater.ports.storage import Storage
from tests.app.customers import (
    ANY,
    Cities,
    Customer,
    CustomerMoved,
    CustomerRenamed,
    Rename,
    crm,
    old_events,
    rows,
)

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
