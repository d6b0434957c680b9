"""What is personal is not stored as it is, whichever way somebody takes past the keys."""

import sqlite3
from contextlib import closing
from uuid import UUID

import msgspec
import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ConfigurationError, SerializationError
from headwater.ports.changes import Append, Changes, NewReceipt, RowChange
from headwater.ports.log import StoredEvent
from headwater.ports.sealed import check_sealed
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import id_bytes, new_event
from headwater.testing.conformance.suite import FAR_FUTURE_US
from tests.personal_data.people import EMAIL, Cellar, CustomerRegistered

STREAM = "crm.customer-ada"


def packed(cellar: Cellar) -> str:
    """Return the text of an event as the codec writes it, for a storage that has the keys."""
    return cellar.store().codec.encode(CustomerRegistered("ada", EMAIL))[2]


def appending(text: str) -> Changes:
    """Return an append of an event with that text."""
    append = Append(STREAM, ExpectedVersion.any(), (new_event(data=text),))
    return Changes(appends=(append,))


async def test_a_storage_refuses_what_was_not_sealed(cellar: Cellar) -> None:
    changes = appending(packed(cellar))

    for storage in (MemoryStorage(), cellar.storage()):
        await storage.open()
        with pytest.raises(ConfigurationError, match="not encrypted"):
            await storage.commit(changes)
        assert await storage.head() == 0
        await storage.close()


async def test_so_does_one_that_writes_within_a_transaction_of_the_users(cellar: Cellar) -> None:
    storage = cellar.storage()
    await storage.open()
    with closing(sqlite3.connect(cellar.place / "log.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")

        with pytest.raises(ConfigurationError, match="not encrypted"):
            storage.commit_within(connection, appending(packed(cellar)))
    await storage.close()


def test_rows_and_receipts_are_looked_at_too(cellar: Cellar) -> None:
    text = packed(cellar)

    for changes in (
        Changes(rows=(RowChange("cards", "ada", text),)),
        Changes(receipts=(NewReceipt("mail", id_bytes(), b"d" * 16, text),)),
    ):
        with pytest.raises(ConfigurationError, match="not encrypted"):
            check_sealed(changes)


def test_what_only_looks_so_passes() -> None:
    for text in ('{"$personal":', '{"$personal":[]}', '{"$personal":[{"to":["a"],"data":"x"}]}'):
        check_sealed(appending(text))


async def test_what_was_stored_so_all_the_same_is_told_when_it_is_read(cellar: Cellar) -> None:
    async with cellar.personal_data() as personal, cellar.store(personal) as store:
        inner = cellar.storage()
        await inner.open()
        event = new_event(data="{}")
        stored = StoredEvent(
            1, STREAM, 1, event.id, event.type, 1, packed(cellar), 1, FAR_FUTURE_US
        )
        await store.append(
            STREAM, [CustomerRegistered("ada", EMAIL)], expected=ExpectedVersion.any()
        )
        after = msgspec.structs.replace(stored, position=2, version=2, id=UUID(int=5).bytes)
        await inner.restore_log((after,), head=2)
        await inner.close()

        with pytest.raises(SerializationError, match="never sealed"):
            _ = [event async for event in store.read_stream(STREAM)]
