"""The keys in a process: how many are held, how they are wrapped anew, and never shown."""

import asyncio

import pytest

from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.clock import ManualClock
from headwater.errors import (
    ConfigurationError,
    KeyStoreError,
    SerializationError,
)
from headwater.serialization.personal import (
    MasterKeys,
    PersonalData,
    for_subjects,
    subjects_read,
)
from headwater.serialization.personal.parcels import PREFIX, unpacked
from tests.personal_data.people import MASTER, Cellar
from tests.personal_data.registering import emails, register

NEW_MASTER = b"n" * 32


def test_it_can_be_used_in_one_event_loop_after_another(cellar: Cellar) -> None:
    personal = cellar.personal_data()

    async def work(id: str) -> list[str]:
        async with cellar.store(personal) as store, personal:
            await register(store, id)
            return await emails(store)

    asyncio.run(work("ada"))

    assert asyncio.run(work("bob")) == ["ada@example.org", "bob@example.org"]


async def test_the_master_key_can_be_changed_while_all_goes_on(cellar: Cellar) -> None:
    ids = [f"c{n}" for n in range(1100)]
    async with cellar.store() as store:
        await register(store, *ids)
    rotating = cellar.personal_data(master=NEW_MASTER, others=(MASTER,))
    heard: list[int] = []

    old = cellar.personal_data(others=(NEW_MASTER,))
    async with cellar.store(rotating) as store, cellar.store(old) as elsewhere:
        done, *_ = await asyncio.gather(
            rotating.rotate(progress=heard.append),
            register(store, "new"),
            rotating.forget("c7"),
            emails(elsewhere),
        )
        assert heard == sorted(heard)
        assert heard[-1] == done >= 1100
        assert await rotating.rotate() == 0

    async with cellar.store(cellar.personal_data(master=NEW_MASTER)) as store:
        expected = ["(erased)" if id == "c7" else f"{id}@example.org" for id in [*ids, "new"]]
        assert await emails(store) == expected


async def test_a_change_of_the_master_key_that_was_cut_off_goes_on(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, *(f"c{n}" for n in range(1100)))

    def cut_off(_rewrapped: int) -> None:
        raise RuntimeError("cut off")

    async with cellar.personal_data(master=NEW_MASTER, others=(MASTER,)) as personal:
        with pytest.raises(RuntimeError):
            await personal.rotate(progress=cut_off)

        assert 0 < await personal.rotate() < 1100

    async with cellar.store(cellar.personal_data(master=NEW_MASTER)) as store:
        assert "c1099@example.org" in await emails(store)


async def test_a_master_key_that_is_missing_is_named(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, "ada")

    with pytest.raises(KeyStoreError, match="was not given"):
        await cellar.personal_data(master=NEW_MASTER).open()


async def test_a_few_keys_are_held_and_the_rest_asked_for(cellar: Cellar) -> None:
    keys = MemoryKeyStore()
    personal = PersonalData(
        keys,
        wrapper=MasterKeys(MASTER),
        ledger=MemoryLedger(),
        clock=ManualClock(),
        ring_keys_max=3,
    )
    async with cellar.store(personal) as store:
        ids = [f"c{n}" for n in range(50)]
        await register(store, *ids)

        assert await emails(store) == [f"{id}@example.org" for id in ids]


async def test_whoever_keeps_copies_learns_whose_they_are_and_who_is_forgotten(
    cellar: Cellar,
) -> None:
    personal = cellar.personal_data()
    heard: list[str] = []
    personal.on_forgotten(heard.extend)
    async with cellar.store(personal) as store:
        await register(store, "ada", "bob")
        with subjects_read() as subjects:
            await emails(store)
        assert subjects == {"ada", "bob"}
        assert await personal.forgotten_among(subjects) == set()

        await personal.forget("bob")

        assert await personal.forgotten_among(subjects) == {"bob"}
        with subjects_read() as subjects:
            await emails(store)
        assert subjects == {"ada"}
        assert heard == ["bob"]


@pytest.mark.parametrize("text", ["null", '{"a":1}', '["$personal"]', '{"$personal":[]}'])
def test_a_text_for_nobody_stays_as_it_is(text: str) -> None:
    folded = for_subjects(text, ())

    assert (unpacked(folded) if folded.startswith(PREFIX) else folded) == text


async def test_it_is_opened_before_it_is_used_and_takes_sensible_numbers(cellar: Cellar) -> None:
    with pytest.raises(ConfigurationError):
        _ = cellar.personal_data().digest_key
    for seconds, keys_max in ((0.0, 1), (1.0, 0)):
        with pytest.raises(ConfigurationError):
            PersonalData(
                MemoryKeyStore(),
                wrapper=MasterKeys(MASTER),
                ledger=MemoryLedger(),
                ring_seconds=seconds,
                ring_keys_max=keys_max,
            )
    async with cellar.personal_data() as personal:
        for subject in ("", "x" * 501):
            with pytest.raises(SerializationError):
                await personal.forget(subject)
        with pytest.raises(ConfigurationError):
            await personal.forget("$digests")


def test_master_keys_are_never_shown() -> None:
    assert "mmmm" not in repr(MasterKeys(MASTER)) + repr(vars(MasterKeys(MASTER)))
