"""Forgetting: other processes, backups, changes of the master key, and what may go wrong."""

import asyncio
import shutil
from collections.abc import Collection, Mapping, Sequence

import pytest

from headwater import App, BoundedContext
from headwater.adapters.key_store.memory import MemoryKeyStore
from headwater.errors import (
    KeyStoreError,
    KeyStoreUnavailableError,
)
from headwater.metadata import message_context
from headwater.ports.changes import Changes
from headwater.ports.key_store import Forgotten, WrappedKey
from headwater.serialization.personal import (
    KEY_RING_SECONDS,
)
from tests.personal_data.people import Cellar, CustomerCards, CustomerRegistered
from tests.personal_data.registering import ANY, emails, register


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
        line = (await personal.forget("ada", by="clerk", why="asked for it")).line
    cellar.ledger.path.unlink()

    async with cellar.personal_data() as personal:
        assert await personal.forgotten() == (line,)


async def test_the_ledger_says_who_when_by_whom_and_why(cellar: Cellar) -> None:
    async with cellar.personal_data() as personal:
        with message_context(actor="dpo"):
            first = (await personal.forget("ada", why="request 17")).line
        cellar.clock.advance(60)

        again = (await personal.forget("ada", why="once more")).line

        assert again == first
        assert await personal.forgotten() == (first,)
        assert (first.subject, first.by, first.why) == ("ada", "dpo", "request 17")
        assert first.at == int(cellar.clock.now().timestamp() - 60) * 1_000_000


async def test_whoever_forgets_is_told_whether_there_was_a_key(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    async with cellar.store(personal) as store:
        await register(store, "ada")

        forgettings = [await personal.forget(subject) for subject in ("ada", "ada", "mistyped")]

        assert [forgetting.had_key for forgetting in forgettings] == [True, False, False]


async def test_a_ledger_that_cannot_be_written_leaves_the_key(cellar: Cellar) -> None:
    personal = cellar.personal_data()
    async with cellar.store(personal) as store:
        await register(store, "ada")
        cellar.ledger.path.mkdir()

        with pytest.raises(KeyStoreError):
            await personal.forget("ada")

        assert await emails(store) == ["ada@example.org"]


class DestroyedSlowly(MemoryKeyStore):
    """Destroys a key once it `may`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def destroy(self, forgotten: Sequence[Forgotten]) -> int:
        self.asked.set()
        await self.may.wait()
        return await super().destroy(forgotten)


async def test_who_is_cancelled_while_forgetting_somebody_has_forgotten_them(
    cellar: Cellar,
) -> None:
    keys = DestroyedSlowly()
    async with cellar.personal_data(keys=keys) as personal, cellar.store(personal) as store:
        await register(store, "ada")
        forgetting = asyncio.create_task(personal.forget("ada"))
        await keys.asked.wait()

        forgetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forgetting
        keys.may.set()

        assert (await personal.forget("ada")).had_key is False
        assert await emails(store) == ["(erased)"]
        assert len(await personal.forgotten()) == 1


async def test_keys_are_closed_after_those_who_are_being_forgotten(cellar: Cellar) -> None:
    keys = DestroyedSlowly()
    async with cellar.personal_data(keys=keys) as personal:
        async with cellar.store(personal) as store:
            await register(store, "ada")
        forgetting = asyncio.create_task(personal.forget("ada"))
        await keys.asked.wait()
        forgetting.cancel()
        asyncio.get_running_loop().call_soon(keys.may.set)

    await keys.open()
    assert (await keys.get(["ada"]))["ada"].wrapped is None


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
    """Once `slow`, answers the first who asks only when it may: with what it found before."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.asked, self.may = False, asyncio.Event(), asyncio.Event()

    async def get(self, subjects: Collection[str]) -> Mapping[str, WrappedKey]:
        found = await super().get(subjects)
        if self.slow and not self.asked.is_set():
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
