"""Personal data on PostgreSQL: the text that is stored comes back as it was, sealed or not."""

import asyncpg
import pytest

from headwater import App, PersonalDataSettings
from headwater.adapters.key_store.postgres import PostgresKeyStore
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import ConfigurationError
from headwater.event_store import EventStore
from headwater.integrations.outbox import Outbox
from headwater.serialization.personal import SealedStorage
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.units import Units
from tests.personal_data.people import (
    EMAIL,
    MASTER,
    PHONE,
    TYPES,
    Cellar,
    CustomerCard,
    CustomerRegistered,
)


async def test_events_and_rows_follow_when_somebody_is_forgotten(
    cellar: Cellar, postgres_url: str, postgres_schema: str
) -> None:
    url = f"{postgres_url}?sslmode=disable"
    settings = PostgresSettings.from_url(f"{url}&schema={postgres_schema}&auto_migrate=true")
    keys = PostgresKeyStore(url, schema=f"{postgres_schema}_keys")
    personal = cellar.personal_data(keys=keys)
    ada, card = CustomerRegistered("ada", EMAIL, PHONE), CustomerCard("ada", EMAIL, "Dear Ada")
    store = EventStore(
        PostgresStorage(settings), types=TYPES, context="crm", personal_data=personal
    )
    async with store:
        units = Units(store.storage, codec=store.codec)
        await units.prepare(models=[CustomerCard])
        async with units.unit_of_work() as unit:
            unit.append("crm.customer-ada", ada)
            unit.collection(CustomerCard).put(card)
        again = await store.append("crm.customer-ada", [ada], expected=ExpectedVersion.any())
        assert again.version == 2
        assert [e.payload async for e in store.read_all()] == [ada, ada]
        assert await units.new().collection(CustomerCard).get("ada") == card
        assert isinstance(store.storage, SealedStorage)
        stored = await store.storage.inner.read_stream("crm.customer-ada")
        rows = await store.storage.inner.get_rows(units.row_type(CustomerCard).name, ["ada"])
        assert EMAIL not in "".join([*(e.data for e in stored), *(r.data for r in rows.values())])

        await personal.forget("ada")

        erased = CustomerRegistered("ada", "(erased)", None)
        assert [e.payload async for e in store.read_all()] == [erased, erased]
        row = await units.new().collection(CustomerCard).get("ada")
        assert row == CustomerCard("ada", "(erased)", None)


async def test_what_is_staged_in_a_transaction_of_the_users_is_sealed(
    cellar: Cellar, postgres_url: str, postgres_schema: str
) -> None:
    url = f"{postgres_url}?sslmode=disable"
    settings = PostgresSettings.from_url(f"{url}&schema={postgres_schema}&auto_migrate=true")
    personal = cellar.personal_data()
    ada = CustomerRegistered("ada", EMAIL, PHONE)
    store = EventStore(
        PostgresStorage(settings), types=TYPES, context="crm", personal_data=personal
    )
    outbox = Outbox(store)
    async with store:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await outbox.stage(connection, "crm.customer-ada", [ada])
            staged = await connection.fetch(f"SELECT o::text FROM {postgres_schema}.outbox AS o")
        await connection.close()
        assert len(staged) == 1
        assert EMAIL not in str(staged)
        await outbox.staged.wait_until_moved()

        assert [e.payload async for e in store.read_all()] == [ada]

        await personal.forget("ada")
        assert [e.payload async for e in store.read_all()] == [
            CustomerRegistered("ada", "(erased)", None)
        ]


@pytest.mark.parametrize("host", ["db.example", "localhost", "127.0.0.1"])
def test_keys_in_the_storages_own_database_are_refused(host: str) -> None:
    """Whoever restored a backup of it would bring the keys back with the data."""
    storage = f"postgresql://shop@{host.replace('127.0.0.1', 'localhost')}/shop"

    def settings(database: str) -> PersonalDataSettings:
        url = f"postgresql://keeper:secret@{host}:5432/{database}?sslmode=disable"
        return PersonalDataSettings(keys=url, master_key=MASTER, ledger="forgotten.jsonl")

    with pytest.raises(ConfigurationError, match="'shop', where the storage is") as refused:
        App("shop", storage=storage, personal_data=settings("shop"))
    App("shop", storage=storage, personal_data=settings("keys"))

    assert "secret" not in str(refused.value)
