"""A storage and its keys belong together: others are refused before anything is written."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from headwater import App, BoundedContext
from headwater.adapters.key_store.sqlite import SqliteKeyStore
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import KeyStoreError, KeyStoreMismatchError
from headwater.event_store import EventStore
from headwater.operations.findings import Problem
from headwater.operations.verifying import verify_log
from headwater.ports.changes import Changes
from headwater.serialization.personal import PersonalData
from headwater.serialization.personal.sealed_storage import as_stored
from headwater.streams import ExpectedVersion
from tests.personal_data.people import EMAIL, Cellar, CustomerCards, CustomerRegistered
from tests.personal_data.registering import emails, register

ANY = ExpectedVersion.any()


def mistyped(cellar: Cellar) -> PersonalData:
    """Keys under a name that nobody has used."""
    return cellar.personal_data(keys=SqliteKeyStore(cellar.place / "typo.db"))


def an_app(cellar: Cellar, personal: PersonalData) -> App:
    crm = BoundedContext("crm")
    crm.projection(CustomerCards)
    app = App("crm", storage=cellar.storage(), personal_data=personal)
    app.include(crm)
    return app


async def test_a_mistyped_key_store_is_refused_at_the_start_by_both_names(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, "ada")

    with pytest.raises(KeyStoreMismatchError, match=r"typo\.db.*keys\.db") as raised:
        await cellar.store(mistyped(cellar)).open()
    with pytest.raises(KeyStoreMismatchError):
        await an_app(cellar, mistyped(cellar)).start()

    assert raised.value.bound_to == f"SqliteKeyStore({str(cellar.keys_file)!r})"
    async with cellar.store() as store:
        assert await emails(store) == ["ada@example.org"]


async def test_the_ledger_and_a_key_store_of_somebody_else_learn_nothing_of_each_other(
    cellar: Cellar,
) -> None:
    other = Cellar(cellar.place / "other")
    other.place.mkdir()
    async with cellar.store() as store:
        await register(store, "ada")
    async with other.personal_data() as theirs:
        await theirs.forget("bob")
    async with cellar.personal_data() as ours:
        await ours.forget("eve")

    mixed = cellar.personal_data(keys=SqliteKeyStore(other.keys_file))
    with pytest.raises(KeyStoreMismatchError):
        await cellar.store(mixed).open()

    assert [line.subject for line in await cellar.ledger.entries()] == ["eve"]
    async with other.personal_data() as theirs:
        assert [line.subject for line in await theirs.forgotten()] == ["bob"]


async def test_an_empty_key_store_beside_sealed_data_is_refused(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, "ada")
    cellar.keys_file.unlink()

    with pytest.raises(KeyStoreMismatchError, match="is not the key store"):
        await cellar.store().open()


async def test_where_nothing_is_noted_somebody_in_the_log_must_have_a_key(cellar: Cellar) -> None:
    elsewhere = Cellar(cellar.place / "elsewhere")
    elsewhere.place.mkdir()
    async with cellar.personal_data() as personal:
        async with cellar.store(personal) as store:
            await register(store, "ada", "bob")
        async with cellar.raw() as raw:
            stored = (await raw.storage.read_log()).events
        await personal.forget("ada")
        async with elsewhere.raw() as raw:
            await raw.storage.restore_log(stored, head=len(stored))

        async with elsewhere.store(personal) as store:
            assert await emails(store) == ["(erased)", "bob@example.org"]

    with pytest.raises(KeyStoreMismatchError, match="has a key for none of those"):
        await elsewhere.store().open()


async def test_keys_that_were_rotated_or_restored_are_the_same(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, "ada")
    backup = cellar.keys_file.read_bytes()
    async with cellar.personal_data(master=b"n" * 32, others=(b"m" * 32,)) as personal:
        await personal.rotate()
    async with cellar.store(cellar.personal_data(master=b"n" * 32)) as store:
        assert await emails(store) == ["ada@example.org"]
    cellar.keys_file.write_bytes(backup)

    async with cellar.store() as store:
        assert await emails(store) == ["ada@example.org"]


async def test_what_holds_nothing_personal_is_not_bound(cellar: Cellar) -> None:
    async with cellar.store(mistyped(cellar)) as store:
        assert await emails(store) == []

    async with cellar.store() as store:
        await register(store, "ada")
        assert await emails(store) == ["ada@example.org"]


async def test_of_two_who_write_first_only_one_has_the_right_keys(cellar: Cellar) -> None:
    async with cellar.store() as right, cellar.store(mistyped(cellar)) as wrong:
        outcomes = await asyncio.gather(
            register(right, "ada"), register(wrong, "bob"), return_exceptions=True
        )

    refused = [outcome for outcome in outcomes if outcome is not None]
    assert [type(error) for error in refused] == [KeyStoreMismatchError]


async def test_keys_that_are_lost_for_good_can_be_replaced_and_their_people_forgotten(
    cellar: Cellar,
) -> None:
    async with cellar.store() as store:
        await store.append("crm.customer-ada", [CustomerRegistered("ada", EMAIL)], expected=ANY)
    personal = mistyped(cellar)
    async with personal, cellar.raw() as raw:
        former = await personal.adopt(raw.storage)
    assert former is not None
    assert "keys.db" in former.where

    async with cellar.store(personal) as store:
        with pytest.raises(KeyStoreError, match="no key for subject 'ada'"):
            await emails(store)
        await personal.forget("ada", why="keys lost")
        assert await emails(store) == ["(erased)"]


async def test_an_event_that_cannot_be_read_keeps_no_app_from_starting(cellar: Cellar) -> None:
    """Ids alone say whether it is the same log; who takes the event fails, nobody else."""
    async with an_app(cellar, cellar.personal_data()) as app:
        await register(app.event_store, "ada", "bob")
        await app.settle()
    _lose(cellar, "bob")

    async with an_app(cellar, cellar.personal_data()) as app:
        await register(app.event_store, "eve")
        await app.settle()


async def test_a_verification_finds_what_cannot_be_decrypted_and_goes_on(cellar: Cellar) -> None:
    async with cellar.store() as store:
        await register(store, "ada", "bob", "eve")
    _lose(cellar, "bob")

    async with cellar.store() as store:
        verified = await verify_log(store.storage, codec=store.codec)

    (finding,) = verified.findings
    assert (finding.problem, finding.position) == (Problem.PERSONAL, 2)
    assert "no key for subject 'bob'" in finding.detail
    assert (verified.events, verified.decoded) == (3, True)


def _lose(cellar: Cellar, subject: str) -> None:
    with sqlite3.connect(cellar.keys_file) as connection:
        connection.execute("DELETE FROM headwater_keys WHERE subject = ?", (subject,))
    connection.close()


@pytest.mark.parametrize("kind", ["store", "app"])
async def test_a_bound_storage_is_sealed_for_within_a_transaction_of_ones_own(
    cellar: Cellar, kind: str
) -> None:
    async with cellar.store() as store:
        await register(store, "ada")
    opened = cellar.store() if kind == "store" else an_app(cellar, cellar.personal_data())
    async with opened:
        store = opened if isinstance(opened, EventStore) else opened.event_store
        storage = as_stored(store.storage)
        assert isinstance(storage, SqliteStorage)
        mine = sqlite3.connect(storage.settings.path, isolation_level=None, check_same_thread=False)
        with closing(mine):
            mine.execute("BEGIN IMMEDIATE")
            # Whoever waits for the lock would wait for the end of this test.
            async with asyncio.timeout(5):
                append = await store.prepare_sealed(
                    "crm.customer-bob", [CustomerRegistered("bob", EMAIL)], expected=ANY
                )
            await asyncio.to_thread(storage.commit_within, mine, Changes((append,)))
            mine.execute("COMMIT")

        assert len(await emails(store)) == 2
