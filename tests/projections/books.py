"""A projection that parks what it can't fold, in several versions."""

import asyncio
from typing import Any

from headwater import App, BoundedContext, Event, OnFailure, Projection, ReadModel, applies
from headwater.app.dead_letters import AppDeadLetters
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.selecting import Selection
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

EVERYTHING_HELD = Selection(states=frozenset())
DEAD, WAITING = DeliveryState.DEAD, DeliveryState.WAITING
ACCOUNTS = "abcdefgh"


class Booked(Event, context="books"):
    account: str
    cents: int


class Balance(ReadModel, key="account", context="books"):
    account: str
    cents: int = 0
    bookings: int = 0


class Books(Projection[Balance], name="balances", partitions=4, on_failure=OnFailure.PARK_KEY):
    @applies
    def booked(self, event: Booked, row: Balance | None) -> Balance:
        if event.cents < 0:
            raise ValueError(f"{event.cents} cents")
        before = row or Balance(event.account)
        return Balance(event.account, before.cents + event.cents, before.bookings + 1)


class MendedBooks(
    Projection[Balance], name="balances", partitions=4, on_failure=OnFailure.PARK_KEY
):
    @applies
    def booked(self, event: Booked, row: Balance | None) -> Balance:
        before = row or Balance(event.account)
        return Balance(event.account, before.cents + event.cents, before.bookings + 1)


class StrictBooks(Projection[Balance], name="balances", partitions=4):
    booked = MendedBooks.booked


class LooseBooks(Projection[Balance], name="balances", on_failure=OnFailure.PARK_EVENT):
    booked = Books.booked


def books(projection: Any, storage: Storage, **options: Any) -> App:
    context = BoundedContext("books")
    context.register(Booked)
    database = "rows" if "databases" in options else None
    context.projection(database=database)(projection)
    app = App("books", storage=storage, **options)
    app.include(context)
    return app


async def book(app: App, *booked: tuple[str, int]) -> int:
    position = 0
    for account, cents in booked:
        appended = await app.event_store.append(
            f"books.account-{account}", [Booked(account, cents)], expected=ExpectedVersion.any()
        )
        position = appended.position
    return position


async def balances(app: App) -> dict[str, tuple[int, int]]:
    async with app.event_store.unit_of_work() as unit:
        rows = await unit.collection(Balance).find()
    return {row.account: (row.cents, row.bookings) for row in rows}


async def nothing_held(dead_letters: AppDeadLetters) -> None:
    async with asyncio.timeout(20):
        while await dead_letters.count(EVERYTHING_HELD):  # noqa: ASYNC110 - the storage is asked
            await asyncio.sleep(0.01)
