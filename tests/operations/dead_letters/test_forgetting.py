"""What was held before a reset goes with it, whether somebody works the subscription or not."""

import pytest

from headwater import App, BoundedContext, Collection, Event, OnFailure, ReadModel
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ParkedKeyError
from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.operations.dead_letters.forgetting import forget_stale
from headwater.operations.dead_letters.requests import REQUESTS
from headwater.operations.dead_letters.selecting import Selection
from headwater.operations.rebuilding import begin_again
from headwater.streams import ExpectedVersion

ALL = Selection(states=frozenset())


class Paid(Event, context="books"):
    customer: str
    cents: int


class Account(ReadModel, key="customer", context="books"):
    customer: str
    cents: int


def books(storage: MemoryStorage) -> App:
    context = BoundedContext("books")

    @context.projection(name="accounts", on_failure=OnFailure.PARK_KEY)
    async def accounts(event: Paid, rows: Collection[Account]) -> None:
        if event.cents < 0:
            raise ValueError
        rows.put(Account(event.customer, event.cents))

    @context.subscriber(name="mail")
    async def mail(event: Paid) -> None:
        raise ValueError

    app = App("books", storage=storage)
    app.include(context)
    return app


async def parked(app: App) -> None:
    for cents in (5, -1, 7):
        await app.event_store.append(
            "books.customer-ada", [Paid("ada", cents)], expected=ExpectedVersion.any()
        )
    for name in ("books.accounts", "books.mail"):
        with pytest.raises(ParkedKeyError):
            await app.wait_for(name, 3)


async def test_a_rebuild_in_place_deletes_what_the_subscription_held_and_only_that() -> None:
    storage = MemoryStorage()
    async with books(storage) as app:
        await parked(app)
    dead_letters = DeadLetters(storage)
    await storage.open()
    of_accounts = Selection("books.accounts", states=frozenset())
    of_mail = Selection("books.mail", states=frozenset())
    assert (await dead_letters.count(of_accounts), await dead_letters.count(of_mail)) == (2, 3)

    await begin_again(storage, storage, "books.accounts", collections=["books_account"])

    assert (await dead_letters.count(of_accounts), await dead_letters.count(of_mail)) == (0, 3)


async def test_what_was_asked_for_goes_too() -> None:
    storage = MemoryStorage()
    async with books(storage) as app:
        await parked(app)
    await storage.open()
    dead_letters = DeadLetters(storage)
    [dead] = await dead_letters.list(Selection("books.accounts"))
    await dead_letters.replay([dead], by="ada")

    await begin_again(storage, storage, "books.accounts", collections=["books_account"])

    assert await storage.count_rows(REQUESTS.name) == 0


async def test_what_is_held_up_to_the_checkpoints_stays() -> None:
    storage = MemoryStorage()
    async with books(storage) as app:
        await parked(app)
    await storage.open()

    assert await forget_stale(storage, "books.accounts") == 0

    assert await DeadLetters(storage).count(ALL) == 5


async def test_while_workers_run_the_same_is_held_again_after_a_rebuild() -> None:
    storage = MemoryStorage()
    async with books(storage) as app:
        await parked(app)

        rebuilt = await app.rebuild("books.accounts", models=[Account])

        with pytest.raises(ParkedKeyError):
            await app.wait_for("books.accounts", rebuilt.head)
        of_accounts = Selection("books.accounts", states=frozenset())
        held = await app.dead_letters.list(of_accounts)
        assert [one.position for one in held] == [2, 3]
        assert list(await storage.get_rows("books_account", ["ada"])) == ["ada"]
