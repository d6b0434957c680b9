"""Customers whose stored events are of an older form than their classes."""

from collections.abc import Iterator, Sequence
from typing import Any

from headwater import (
    Aggregate,
    BoundedContext,
    Command,
    Event,
    ExpectedVersion,
    Projection,
    RawEvent,
    ReadModel,
    Repository,
    applies,
)
from headwater.app import App

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


async def rows(app: App, *names: str) -> list[int | None]:
    async with app.event_store.unit_of_work() as unit:
        found = [await unit.collection(City).get(name) for name in names]
    return [row.customers if row else None for row in found]
