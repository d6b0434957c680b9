"""A storage behind keys is a storage: it keeps every promise, personal data or not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest

from headwater import Event
from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.adapters.key_store.sqlite import SqliteKeyStore
from headwater.adapters.storage.memory import MemoryStorage
from headwater.event_store import EventStore
from headwater.ports.key_store import Forgotten
from headwater.ports.storage import Storage
from headwater.serialization.personal import MasterKeys, Personal, PersonalData
from headwater.serialization.upcasting import Upcasters
from headwater.streams import ExpectedVersion
from headwater.testing.conformance import StorageConformance
from headwater.testing.conformance.suite import UnsteadyClock
from headwater.unit_of_work.units import Units
from tests.personal_data.people import EMAIL, MASTER, Cellar, CustomerCard, CustomerRegistered

ANY = ExpectedVersion.any()


class TestSealed(StorageConformance):
    @pytest.fixture
    async def personal(self) -> AsyncIterator[PersonalData]:
        async with PersonalData(
            MemoryKeyStore(), wrapper=MasterKeys(MASTER), ledger=MemoryLedger()
        ) as personal:
            yield personal

    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock, personal: PersonalData) -> Storage:
        return personal.around(MemoryStorage(clock))


async def test_a_row_that_was_put_is_seen_by_its_own_unit_of_work(cellar: Cellar) -> None:
    card = CustomerCard("ada", EMAIL)
    async with cellar.store() as store:
        units = Units(store.storage, codec=store.codec)
        await units.prepare(models=[CustomerCard])
        unit = units.new()
        unit.collection(CustomerCard).put(card)

        assert await unit.collection(CustomerCard).get("ada") == card

        await unit.commit()
        assert await units.new().collection(CustomerCard).get("ada") == card


class KilledBeforeDestroying(SqliteKeyStore):
    """Takes its process away before a key is destroyed."""

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        if forgotten:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().destroy(forgotten)


async def forget_and_die(place: Path) -> None:
    """Forget Ada in the files of *place*; the process does not survive it."""
    cellar = Cellar(place)
    async with cellar.personal_data(keys=KilledBeforeDestroying(cellar.keys_file)) as personal:
        await personal.forget("ada", why="request 17")


async def test_who_was_being_forgotten_when_the_process_was_killed_is_forgotten_next(
    cellar: Cellar,
) -> None:
    ada = CustomerRegistered("ada", EMAIL)
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [ada], expected=ANY)
    code = f"import asyncio, pathlib; from {__name__} import forget_and_die as work; "
    code += f"asyncio.run(work(pathlib.Path({str(cellar.place)!r})))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=Path(__file__).parents[2]
    )
    assert await process.wait() == -signal.SIGKILL

    async with cellar.store() as store:
        (event,) = [each.payload async for each in store.read_all()]

    assert event == CustomerRegistered("ada", "(erased)")


class NamedBefore(Event, name="customer-named", context="crm"):
    customer: str
    name: Annotated[str, Personal("customer")]


class Named(Event, name="customer-named", context="crm", version=2):
    customer: str
    first: Annotated[str, Personal("customer")]
    last: Annotated[str, Personal("customer")]


async def test_upcasters_get_plain_values_or_placeholders(cellar: Cellar) -> None:
    upcasters = Upcasters()

    @upcasters.upcaster("crm.customer-named", version=1)
    def split(data: dict[str, Any]) -> dict[str, Any]:
        first, _, last = data.pop("name").partition(" ")
        return {**data, "first": first, "last": last}

    _ = split
    personal = cellar.personal_data()
    old = EventStore(cellar.storage(), types=[NamedBefore], personal_data=personal)
    new = EventStore(cellar.storage(), types=[Named], upcasters=upcasters, personal_data=personal)
    async with old, new:
        await old.append("crm.customer-1", [NamedBefore("ada", "Ada Lovelace")], expected=ANY)
        assert [e.payload async for e in new.read_all()] == [Named("ada", "Ada", "Lovelace")]
        (stored,) = await old.storage.read_payloads("crm.customer-1")
        assert new.codec.decode_payloads([stored]) == [Named("ada", "Ada", "Lovelace")]

        await personal.forget("ada")

        assert [e.payload async for e in new.read_all()] == [Named("ada", "(erased)", "")]
