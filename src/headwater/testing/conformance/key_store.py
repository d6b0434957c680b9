"""The suite that every key store passes: the promises of `headwater.ports.key_store`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headwater.errors import KeyStoreError
from headwater.ports.key_store import Forgotten, KeyStore, WrappedKey

ADA_FORGOTTEN = Forgotten("ada", 1_700_000_000_000_000, "clerk", "asked for it")


def key(subject: str, wrapped: bytes = b"wrapped", master: str = "m1") -> WrappedKey:
    """Return a key; nobody in here unwraps it."""
    return WrappedKey(subject, master, wrapped)


class KeyStoreConformance:
    """Subclass it with a fixture `new_store`; a store that others can open too, also `second`."""

    @pytest.fixture
    def new_store(self) -> KeyStore:
        """Return a store that holds nothing and was never opened."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `new_store`.")

    @pytest.fixture
    async def store(self, new_store: KeyStore) -> AsyncIterator[KeyStore]:
        """The store under test, open."""
        await new_store.open()
        yield new_store
        await new_store.close()

    async def test_an_unknown_subject_has_no_key(self, store: KeyStore) -> None:
        assert await store.get(["ada"]) == {}
        assert await store.get([]) == {}

    async def test_a_key_that_was_added_is_there(self, store: KeyStore) -> None:
        stored = await store.add([key("ada", b"\x00\xff"), key("bob")])

        assert stored == {"ada": key("ada", b"\x00\xff"), "bob": key("bob")}
        assert await store.get(["bob", "ada", "eve"]) == stored

    async def test_subjects_are_told_apart_to_the_last_character(self, store: KeyStore) -> None:
        subjects = ["Ada", "ada", "ada ", "Ädä", "a" * 500, "'; --", "7"]

        await store.add([key(s, s.encode()) for s in subjects])

        found = await store.get(subjects)
        assert {s: found[s].wrapped for s in subjects} == {s: s.encode() for s in subjects}

    async def test_the_first_key_of_a_subject_stays(self, store: KeyStore) -> None:
        await store.add([key("ada", b"first")])

        stored = await store.add([key("ada", b"second"), key("bob")])

        assert stored["ada"].wrapped == b"first"
        assert (await store.get(["ada"]))["ada"].wrapped == b"first"

    async def test_many_who_add_at_once_are_told_the_same_key(self, store: KeyStore) -> None:
        told = await asyncio.gather(*(store.add([key("ada", b"%d" % n)]) for n in range(20)))

        assert len({answer["ada"].wrapped for answer in told}) == 1

    async def test_thousands_can_be_asked_for_at_once(self, store: KeyStore) -> None:
        subjects = [f"subject-{n}" for n in range(3000)]
        await store.add([key(subject) for subject in subjects])

        assert len(await store.get(subjects)) == 3000

    async def test_a_destroyed_key_is_gone_for_ever(self, store: KeyStore) -> None:
        await store.add([key("ada"), key("bob")])

        assert await store.destroy([ADA_FORGOTTEN]) == 1
        await store.add([key("ada", b"another")])

        found = await store.get(["ada", "bob"])
        assert found["ada"].wrapped is None
        assert found["bob"] == key("bob")

    async def test_who_never_had_a_key_gets_none_after_being_forgotten(
        self, store: KeyStore
    ) -> None:
        assert await store.destroy([ADA_FORGOTTEN]) == 1

        stored = await store.add([key("ada")])

        assert stored["ada"].wrapped is None

    async def test_who_was_forgotten_is_noted_once_with_the_first_note(
        self, store: KeyStore
    ) -> None:
        await store.add([key("ada")])
        bob = Forgotten("bob", 1, "", "")

        await store.destroy([ADA_FORGOTTEN, bob])
        again = await store.destroy([Forgotten("ada", 2_000_000_000_000_000, "x", "y")])

        assert again == 0
        assert list(await store.forgotten()) == [bob, ADA_FORGOTTEN]

    async def test_what_another_master_wrapped_comes_in_pages(self, store: KeyStore) -> None:
        await store.add([key(f"s{n}") for n in range(5)])
        await store.add([key("new", master="m2")])
        await store.destroy([Forgotten("s3", 1)])

        first = await store.outdated("m2", after="", limit=3)
        rest = await store.outdated("m2", after=first[-1].subject, limit=3)

        assert [k.subject for k in (*first, *rest)] == ["s0", "s1", "s2", "s4"]
        assert await store.outdated("m2", after="s4", limit=3) == []

    async def test_rewrapping_replaces_what_is_still_there(self, store: KeyStore) -> None:
        ada, bob, eve = key("ada"), key("bob"), key("eve")
        await store.add([ada, bob, eve])
        await store.destroy([ADA_FORGOTTEN])
        new = {k.subject: key(k.subject, b"anew", "m2") for k in (ada, bob, eve)}
        await store.rewrap([(eve, new["eve"])])

        replaced = await store.rewrap(
            [(ada, new["ada"]), (bob, new["bob"]), (eve, key("eve", b""))]
        )

        assert replaced == 1
        found = await store.get(["ada", "bob", "eve"])
        assert found["ada"].wrapped is None
        assert (found["bob"], found["eve"]) == (new["bob"], new["eve"])

    async def test_keys_are_there_after_it_was_closed_and_opened(self, store: KeyStore) -> None:
        await store.add([key("ada")])

        await store.close()
        await store.close()
        await store.open()
        await store.open()

        assert await store.get(["ada"]) == {"ada": key("ada")}

    async def test_before_open_and_after_close_it_refuses(self, new_store: KeyStore) -> None:
        with pytest.raises(KeyStoreError):
            await new_store.get(["ada"])
        await new_store.open()
        await new_store.close()
        with pytest.raises(KeyStoreError):
            await new_store.destroy([ADA_FORGOTTEN])
