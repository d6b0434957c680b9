"""Forgetting: other processes, backups, changes of the master key, and what may go wrong."""

import asyncio
import shutil
from collections.abc import Collection, Mapping

import pytest

from headwater import App, BoundedContext
from headwater.adapters.key_store.memory import MemoryKeyStore, MemoryLedger
from headwater.clock import ManualClock
from headwater.errors import (
    ConfigurationError,
    KeyStoreError,
    KeyStoreUnavailableError,
    SerializationError,
)
from headwater.event_store import EventStore
from headwater.metadata import message_context
from headwater.ports.changes import Changes
from headwater.ports.key_store import WrappedKey
from headwater.serialization.personal import (
    KEY_RING_SECONDS,
    MasterKeys,
    PersonalData,
    for_subjects,
    subjects_read,
)
from headwater.serialization.personal.parcels import PREFIX, unpacked
from headwater.streams import ExpectedVersion
from tests.personal_data.people import MASTER, Cellar, CustomerCards, CustomerRegistered

ANY = ExpectedVersion.any()
NEW_MASTER = b"n" * 32


async def emails(store: EventStore) -> list[str]:
    return [event.payload.email async for event in store.read_all()]


async def register(store: EventStore, *ids: str) -> None:
    events = [CustomerRegistered(id, f"{id}@example.org") for id in ids]
    await store.append("crm.customer-all", events, expected=ANY)


async def test_another_process_follows_within_the_time_that_it_holds_keys(
    cellar: Cellar,
) -> None:
    async with cellar.store() as here, cellar.store() as there:
        await register(here, "ada")
        assert await emails(there) == ["ada@example.org"]

        async with cellar.personal_data() as personal:
            await personal.forget("ada")

        assert await emails(there) == ["ada@example.org"]
        cellar.clock.advance(KEY_RING_SECONDS)
        assert await emails(there) == ["(erased)"]


async def test_who_was_forgotten_stays_so_when_the_keys_are_restored(cellar: Cellar) -> None:
    backup = cellar.place / "backup-of-keys"
    async with cellar.store() as store:
        await register(store, "ada", "bob")
    shutil.copy(cellar.keys_file, backup)
    async with cellar.personal_data() as personal:
        await personal.forget("ada", by="clerk")

    shutil.copy(backup, cellar.keys_file)

    async with cellar.store() as store:
        assert await emails(store) == ["(erased)", "bob@example.org"]


async def test_the_ledger_is_applied_to_keys_that_are_restored_under_way(cellar: Cellar) -> None:
    keys = RestorableKeys()
    personal = cellar.personal_data(keys=keys)
    async with cellar.store(personal) as store:
        await register(store, "ada")
        backup = await keys.get(["ada"])
        await personal.forget("ada")
        keys.restore(backup)

        assert await personal.reapply() == 1

        cellar.clock.advance(KEY_RING_SECONDS)
        assert await emails(store) == ["(erased)"]
        assert await personal.reapply() == 0


class RestorableKeys(MemoryKeyStore):
    """Can be set back to an earlier state."""

    def restore(self, backup: Mapping[str, WrappedKey]) -> None:
        self._keys = dict(backup)
        self._forgotten = {}


async def test_a_key_file_that_is_replaced_while_it_is_open_is_an_error(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    backup = cellar.place / "backup-of-keys"
    async with cellar.store(personal) as store:
        await register(store, "ada")
        shutil.copy(cellar.keys_file, backup)
        backup.replace(cellar.keys_file)

        with pytest.raises(KeyStoreError, match="was replaced"):
            await personal.forget("ada")


async def test_a_ledger_that_was_lost_is_written_anew_from_the_keys(cellar: Cellar) -> None:
    async with cellar.personal_data() as personal:
        line = await personal.forget("ada", by="clerk", why="asked for it")
    cellar.ledger.path.unlink()

    async with cellar.personal_data() as personal:
        assert await personal.forgotten() == (line,)


async def test_the_ledger_says_who_when_by_whom_and_why(cellar: Cellar) -> None:
    async with cellar.personal_data() as personal:
        with message_context(actor="dpo"):
            first = await personal.forget("ada", why="request 17")
        cellar.clock.advance(60)

        again = await personal.forget("ada", why="once more")

        assert again == first
        assert await personal.forgotten() == (first,)
        assert (first.subject, first.by, first.why) == ("ada", "dpo", "request 17")
        assert first.at == int(cellar.clock.now().timestamp() - 60) * 1_000_000


async def test_a_ledger_that_cannot_be_written_leaves_the_key(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    async with cellar.store(personal) as store:
        await register(store, "ada")
        cellar.ledger.path.mkdir()

        with pytest.raises(KeyStoreError):
            await personal.forget("ada")

        assert await emails(store) == ["ada@example.org"]


class FlakyKeys(MemoryKeyStore):
    """Can't be reached while `down`."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.refused = False, asyncio.Event()

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        await asyncio.sleep(0)
        if self.down:
            self.refused.set()
            raise KeyStoreUnavailableError("The key store can't be reached.")
        return await super().get(subjects)


async def test_a_key_store_that_is_down_gives_errors_and_no_placeholders(cellar: Cellar) -> None:
    keys = FlakyKeys()
    async with cellar.store(cellar.personal_data(keys=keys)) as store:
        await register(store, "ada")
        keys.down = True
        cellar.clock.advance(KEY_RING_SECONDS)

        with pytest.raises(KeyStoreUnavailableError):
            await emails(store)
        with pytest.raises(KeyStoreUnavailableError):
            await register(store, "bob")

        keys.down = False
        assert await emails(store) == ["ada@example.org"]
        assert await store.head() == 1


async def test_a_subscription_waits_for_a_key_store_that_is_down(cellar: Cellar) -> None:
    keys = FlakyKeys()
    personal = cellar.personal_data(keys=keys)
    heard: list[str] = []
    crm = BoundedContext("crm")

    @crm.subscriber
    async def hear(event: CustomerRegistered) -> None:
        heard.append(event.email)

    _ = hear
    crm.projection(CustomerCards)
    app = App("shop", storage=cellar.storage(), personal_data=personal)
    app.include(crm)
    async with app:
        ada = CustomerRegistered("ada", "ada@example.org")
        append = await app.event_store.prepare_sealed("crm.customer-ada", [ada], expected=ANY)
        keys.down = True
        cellar.clock.advance(KEY_RING_SECONDS)
        await app.storage.commit(Changes((append,)))
        await keys.refused.wait()

        keys.down = False

        await app.settle()
        assert heard == ["ada@example.org"]


class SlowKeys(MemoryKeyStore):
    """Answers, once it is `slow`, only when it may: with what it found before."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.asked, self.may = False, asyncio.Event(), asyncio.Event()

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        found = await super().get(subjects)
        if self.slow:
            self.asked.set()
            await self.may.wait()
        return found


async def test_a_key_that_is_forgotten_while_it_is_loaded_is_not_held(cellar: Cellar) -> None:
    keys = SlowKeys()
    personal = cellar.personal_data(keys=keys)
    async with cellar.store(personal) as store:
        await register(store, "ada")
        cellar.clock.advance(KEY_RING_SECONDS)
        keys.slow = True
        reading = asyncio.create_task(emails(store))
        await keys.asked.wait()

        await personal.forget("ada")
        keys.may.set()

        assert await reading == ["(erased)"]
        assert await emails(store) == ["(erased)"]


async def test_who_is_cancelled_while_keys_are_loaded_leaves_them_to_others(
    cellar: Cellar, caplog: pytest.LogCaptureFixture
) -> None:
    keys = FlakyKeys()
    async with cellar.store(cellar.personal_data(keys=keys)) as store:
        await register(store, "ada")
        cellar.clock.advance(KEY_RING_SECONDS)
        tasks = [asyncio.create_task(emails(store)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        tasks[0].cancel()

        answers = await asyncio.gather(*tasks, return_exceptions=True)

        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [["ada@example.org"]] * 2
        # Nor does it matter to whoever comes next that nobody heard of a failure.
        keys.down = True
        cellar.clock.advance(KEY_RING_SECONDS)
        alone = asyncio.create_task(emails(store))
        await keys.refused.wait()
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        keys.down = False
        assert await emails(store) == ["ada@example.org"]
    assert caplog.records == []


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
        assert not await personal.is_forgotten(subjects)

        await personal.forget("bob")

        assert await personal.is_forgotten(subjects)
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
