"""Rows are written, guarded by their version, and seen by those behind them."""

import pytest

from headwater.errors import ConfigurationError, RowConflictError
from headwater.ports.changes import Changes, IndexValue
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    commit_all,
    deletion,
    row,
    writing,
)
from headwater.testing.conformance.suite import StorageSuite

NOTES = CollectionSpec("notes", ("id", "text"))
PEOPLE = CollectionSpec("people", ("id", "age"), (IndexedField("age", IndexKind.INTEGER),))


async def get(storage: Storage, collection: str, key: str) -> Row | None:
    """Return a row, None if there is none."""
    return (await storage.get_rows(collection, [key])).get(key)


async def version(storage: Storage, collection: str, key: str) -> int:
    """Return a row's version, 0 if there is none."""
    found = await get(storage, collection, key)
    return found.version if found else 0


class WritingConformance(StorageSuite):
    """What a `RowChange` does."""

    @pytest.fixture
    async def prepared(self, storage: Storage) -> Storage:
        """The storage with room for notes and people."""
        await storage.prepare_collections([NOTES, PEOPLE])
        return storage

    async def test_a_row_comes_back_as_it_was_written(self, prepared: Storage) -> None:
        data = '{"id":"ü","text":"\\u0000 \\" 🛒 \'; DROP TABLE notes"}'

        await prepared.commit(writing(row("notes", "ü'\"; --", data=data)))

        found = await get(prepared, "notes", "ü'\"; --")
        assert found is not None
        assert (found.key, found.data) == ("ü'\"; --", data)
        assert found.version > 0

    async def test_only_rows_that_exist_are_returned(self, prepared: Storage) -> None:
        await prepared.commit(writing(*(row("notes", key) for key in ("a", "b", "c"))))

        assert set(await prepared.get_rows("notes", ["a", "c", "x", "A"])) == {"a", "c"}
        assert await prepared.get_rows("notes", []) == {}
        assert set(await prepared.get_rows("notes", ["b", "b"])) == {"b"}

    async def test_very_many_rows_can_be_asked_for_by_key(self, prepared: Storage) -> None:
        await prepared.commit(writing(row("notes", "7"), row("notes", "34999")))

        found = await prepared.get_rows("notes", [str(number) for number in range(35_000)])

        assert set(found) == {"7", "34999"}

    async def test_collections_do_not_know_of_each_other(self, prepared: Storage) -> None:
        await prepared.commit(writing(row("notes", "1"), row("people", "1", 7)))
        await prepared.commit(writing(deletion("notes", "1")))

        assert await get(prepared, "notes", "1") is None
        assert await get(prepared, "people", "1") is not None

    async def test_a_row_is_written_and_deleted_unguarded(self, prepared: Storage) -> None:
        for data in ("1", "2"):
            await prepared.commit(writing(row("notes", "a", data=data)))
        found = await get(prepared, "notes", "a")
        await prepared.commit(writing(deletion("notes", "a")))

        assert found is not None
        assert found.data == "2"
        assert await get(prepared, "notes", "a") is None

    async def test_every_write_changes_the_version(self, prepared: Storage) -> None:
        seen = set[int]()
        for _ in range(3):
            await prepared.commit(writing(row("notes", "a", data="{}")))
            seen.add(await version(prepared, "notes", "a"))

        assert len(seen) == 3

    async def test_a_version_is_never_given_twice_for_a_key_also_not_after_a_deletion(
        self, prepared: Storage
    ) -> None:
        seen = list[int]()
        for _ in range(3):
            for _ in range(2):
                await prepared.commit(writing(row("notes", "a")))
                seen.append(await version(prepared, "notes", "a"))
            await prepared.commit(writing(deletion("notes", "a")))
            await prepared.close()
            await prepared.open()
            await prepared.prepare_collections([NOTES, PEOPLE])

        assert len(set(seen)) == len(seen)

    async def test_a_row_is_written_where_its_guard_holds(self, prepared: Storage) -> None:
        await prepared.commit(writing(row("notes", "a", data="1", expected=0)))
        read = await version(prepared, "notes", "a")
        await prepared.commit(writing(row("notes", "a", data="2", expected=read)))
        read = await version(prepared, "notes", "a")
        await prepared.commit(writing(deletion("notes", "a", expected=read)))
        await prepared.commit(writing(row("notes", "a", data="3", expected=0)))

        found = await get(prepared, "notes", "a")
        assert found is not None
        assert found.data == "3"

    @pytest.mark.parametrize("deleting", [True, False])
    async def test_a_row_that_was_written_since_is_a_conflict(
        self, prepared: Storage, *, deleting: bool
    ) -> None:
        await prepared.commit(writing(row("notes", "a")))
        read = await version(prepared, "notes", "a")
        await prepared.commit(writing(row("notes", "a")))
        now = await version(prepared, "notes", "a")

        for expected in (read, 0):
            change = row("notes", "a", data="mine", expected=expected)
            if deleting:
                change = deletion("notes", "a", expected=expected)
            with pytest.raises(RowConflictError) as refusal:
                await prepared.commit(writing(change))

            told = refusal.value
            assert (told.collection, told.key) == ("notes", "a")
            assert (told.expected, told.actual) == (expected, now)
        assert await version(prepared, "notes", "a") == now

    @pytest.mark.parametrize("deleting", [True, False])
    async def test_a_row_that_was_deleted_since_is_a_conflict(
        self, prepared: Storage, *, deleting: bool
    ) -> None:
        await prepared.commit(writing(row("notes", "a")))
        read = await version(prepared, "notes", "a")
        await prepared.commit(writing(deletion("notes", "a")))

        change = row("notes", "a", expected=read)
        if deleting:
            change = deletion("notes", "a", expected=read)
        with pytest.raises(RowConflictError) as refusal:
            await prepared.commit(writing(change))

        assert refusal.value.actual == 0

    @pytest.mark.parametrize("expected", [None, 0])
    async def test_deleting_a_row_that_is_not_there_is_no_error(
        self, prepared: Storage, expected: int | None
    ) -> None:
        await prepared.commit(writing(deletion("notes", "a", expected=expected)))

        assert await get(prepared, "notes", "a") is None

    async def test_of_two_guarded_writers_at_once_one_wins(self, prepared: Storage) -> None:
        await prepared.commit(writing(row("notes", "a")))
        read = await version(prepared, "notes", "a")

        results = await commit_all(
            prepared, [writing(row("notes", "a", data=d, expected=read)) for d in "123"]
        )

        refused = [r for r in results if isinstance(r, RowConflictError)]
        assert len(refused) == 2
        found = await get(prepared, "notes", "a")
        assert found is not None
        assert found.data == "1"
        assert {r.actual for r in refused} == {found.version}

    async def test_a_row_sees_those_before_it_in_the_same_value(self, prepared: Storage) -> None:
        await prepared.commit(
            writing(
                row("notes", "a", data="1"),
                row("notes", "a", data="2"),
                row("notes", "b"),
                deletion("notes", "b"),
                row("notes", "c"),
                deletion("notes", "c"),
                row("notes", "c", data="3", expected=0),
            )
        )

        found = await prepared.get_rows("notes", ["a", "b", "c"])
        assert {key: kept.data for key, kept in found.items()} == {"a": "2", "c": "3"}

    async def test_of_a_refused_value_that_writes_a_row_twice_nothing_is_left(
        self, prepared: Storage
    ) -> None:
        await prepared.commit(writing(row("notes", "a", data='{"text":"before"}')))
        before = await prepared.get_rows("notes", ["a", "b"])

        refused = row("notes", "c", expected=77)
        for changes in (
            (row("notes", "a"), row("notes", "a", data='{"text":"x"}'), refused),
            (deletion("notes", "a"), row("notes", "a"), refused),
            (row("notes", "b"), deletion("notes", "b"), row("notes", "b"), refused),
        ):
            with pytest.raises(RowConflictError):
                await prepared.commit(writing(*changes))
            assert await prepared.get_rows("notes", ["a", "b"]) == before

    async def test_a_guard_does_not_hold_behind_a_write_of_the_same_value(
        self, prepared: Storage
    ) -> None:
        with pytest.raises(RowConflictError):
            await prepared.commit(writing(row("notes", "a"), row("notes", "a", expected=0)))

        assert await get(prepared, "notes", "a") is None

    async def test_a_row_in_a_collection_that_was_not_prepared_is_refused(
        self, prepared: Storage
    ) -> None:
        for change in (row("nowhere", "1"), deletion("nowhere", "1")):
            with pytest.raises(ConfigurationError):
                await prepared.commit(Changes(rows=(row("notes", "1"), change)))

        assert await get(prepared, "notes", "1") is None

    @pytest.mark.parametrize("indexed", [(), (7, 8)])
    async def test_a_row_with_another_number_of_indexed_values_is_refused(
        self, prepared: Storage, indexed: tuple[IndexValue, ...]
    ) -> None:
        with pytest.raises(ConfigurationError):
            await prepared.commit(writing(row("people", "1", *indexed)))

        assert await get(prepared, "people", "1") is None
