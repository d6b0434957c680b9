"""What dead letters say of a person is kept under that person's keys, and goes with them."""

import pytest

from headwater import App, BoundedContext
from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ParkedKeyError
from headwater.operations.dead_letters.deliveries import DELIVERIES, DeliveryState
from headwater.operations.dead_letters.overrides import OVERRIDES
from headwater.operations.dead_letters.selecting import Selection
from headwater.ports.rows import RowQuery
from headwater.serialization.personal import MasterKeys, PersonalData
from headwater.streams import ExpectedVersion
from tests.personal_data.people import EMAIL, MASTER, CustomerRegistered
from tests.subscriptions.failures.posting import until

OTHER = "ada@example.net"


def crm(storage: MemoryStorage, personal: PersonalData, mailed: list[str]) -> App:
    context = BoundedContext("crm")

    @context.subscriber(name="welcome", external=False)
    async def welcome(event: CustomerRegistered) -> None:
        if event.email == EMAIL:
            raise ValueError(f"{event.email} is no address")
        mailed.append(event.email)

    context.register(CustomerRegistered)
    app = App("crm", storage=storage, personal_data=personal)
    app.include(context)
    return app


async def stored(storage: MemoryStorage) -> str:
    """Return all that is stored beside the log, as it is stored."""
    found: list[str] = []
    for spec in await storage.collections():
        rows = await storage.find_rows(spec.name, RowQuery(limit=1000))
        found += [row.data for row in rows]
    return "\n".join(found)


async def test_errors_and_corrections_are_sealed_read_with_the_keys_and_forgotten() -> None:
    storage = MemoryStorage()
    personal = PersonalData(MemoryKeyStore(), wrapper=MasterKeys(MASTER), ledger=MemoryLedger())
    mailed: list[str] = []
    async with crm(storage, personal, mailed) as app:
        await app.event_store.append(
            "crm.customer-7",
            [CustomerRegistered("7", EMAIL)],
            expected=ExpectedVersion.any(),
        )
        with pytest.raises(ParkedKeyError):
            await app.settle()
        (dead,) = await app.dead_letters.list()
        assert dead.message == f"{EMAIL} is no address"
        assert EMAIL in dead.traceback
        await app.dead_letters.edit(
            dead.id,
            f'{{"customer_id":"7","email":"{OTHER}"}}',
            author="bob",
            reason="mistyped",
        )
        assert await storage.count_rows(OVERRIDES.name) == 1
        assert EMAIL not in await stored(storage)
        assert OTHER not in await stored(storage)

        run = await app.dead_letters.dry_run(dead.id)
        assert run.failure is None
        assert mailed == [OTHER]
        await personal.forget("7")

        (left,) = await app.dead_letters.list()
        assert (left.message, left.traceback, left.key) == ("", "", "crm.customer-7")
        await app.dead_letters.replay([left], by="bob")

        async def replayed() -> bool:
            return await app.dead_letters.count(Selection(states=frozenset())) == 0

        await until(replayed)
        await app.settle()

    # What was corrected is forgotten with the rest.
    assert mailed == [OTHER, "(erased)"]


async def test_a_row_that_is_written_again_after_its_subject_was_forgotten_says_nothing_of_it() -> (
    None
):
    storage = MemoryStorage()
    personal = PersonalData(MemoryKeyStore(), wrapper=MasterKeys(MASTER), ledger=MemoryLedger())
    async with crm(storage, personal, []) as app:
        registered = CustomerRegistered("7", EMAIL)
        await app.event_store.append("crm.customer-7", [registered], expected=ExpectedVersion.any())
        with pytest.raises(ParkedKeyError):
            await app.settle()
        dead = await app.dead_letters.list()
        await app.dead_letters.replay(dead, by="bob")

        async def tried_again() -> bool:
            return [len(one.attempts) for one in await app.dead_letters.list()] == [2]

        await until(tried_again)
        await personal.forget("7")
        (left,) = await app.dead_letters.list()

        assert left.state is DeliveryState.DEAD
        assert left.attempts == ()
        assert EMAIL not in (await storage.find_rows(DELIVERIES.name, RowQuery()))[0].data
