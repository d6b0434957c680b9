"""Collections are prepared by name, and change with the code that declares them."""

import pytest

from headwater.errors import ConfigurationError, InvalidNameError
from headwater.ports.rows import (
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    RowQuery,
)
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import keys_found, row, writing
from headwater.testing.conformance.suite import StorageSuite

CITY = IndexedField("city", IndexKind.TEXT)
FIELDS = ("id", "city", "age", "score", "photo", "vip")
AWKWARD_NAMES = [
    *("order", "select", "events", "temp", "main", "x" * 63),
    *("headwater_events", "sqlite_sequence", "pg_class"),
]
NOT_NAMES = ["", "Users", "1st", "_x", "a-b", "a b", 'a"', "a;b", "ü", "x" * 64, "a\n"]


def people(*indexed: IndexedField) -> CollectionSpec:
    """Return the collection of people, indexed as given."""
    return CollectionSpec("people", FIELDS, indexed)


async def found(storage: Storage, field: str, value: str | int | float | bytes | None) -> list[str]:
    """Return the keys of the people whose *field* is *value*."""
    return await keys_found(storage, "people", Condition(field, Comparison.EQUAL, value))


class CollectionsConformance(StorageSuite):
    """What `prepare_collections` does with a collection that is new, the same, or changed."""

    async def test_a_new_collection_is_empty(self, storage: Storage) -> None:
        await storage.prepare_collections([people(CITY)])

        assert await storage.find_rows("people", RowQuery()) == ()
        assert await storage.count_rows("people") == 0

    async def test_preparing_twice_does_nothing(self, storage: Storage) -> None:
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(row("people", "1", "Bonn")))

        await storage.prepare_collections([people(CITY)])

        assert await found(storage, "city", "Bonn") == ["1"]

    async def test_preparing_nothing_is_fine(self, storage: Storage) -> None:
        await storage.prepare_collections([])

    async def test_a_collection_that_was_not_prepared_cannot_be_read(
        self, storage: Storage
    ) -> None:
        with pytest.raises(ConfigurationError):
            await storage.get_rows("people", ["1"])
        with pytest.raises(ConfigurationError):
            await storage.find_rows("people", RowQuery())
        with pytest.raises(ConfigurationError):
            await storage.count_rows("people")

    @pytest.mark.parametrize("name", NOT_NAMES, ids=ascii)
    async def test_a_name_that_cannot_be_one_in_sql_is_refused(
        self, storage: Storage, name: str
    ) -> None:
        for spec in (
            CollectionSpec(name, ("id",)),
            CollectionSpec("people", ("id", name)),
            CollectionSpec("people", ("id", name), (IndexedField(name, IndexKind.TEXT),)),
        ):
            with pytest.raises(InvalidNameError) as refusal:
                await storage.prepare_collections([CollectionSpec("others", ("id",)), spec])
            assert refusal.value.name == name

        with pytest.raises(ConfigurationError):
            await storage.count_rows("others")

    @pytest.mark.parametrize("name", AWKWARD_NAMES)
    async def test_a_name_that_means_something_in_sql_is_only_a_name(
        self, storage: Storage, name: str
    ) -> None:
        spec = CollectionSpec(name, (name,), (IndexedField(name, IndexKind.TEXT, unique=True),))
        await storage.prepare_collections([spec])

        await storage.commit(writing(row(name, "1", "x", data=f'{{"{name}":"x"}}')))

        equal = Condition(name, Comparison.EQUAL, "x")
        assert await keys_found(storage, name, equal, order_by=((name, True),)) == ["1"]

    @pytest.mark.parametrize("name", ["key", "version", "data", "rowid", "oid", "indexed", "value"])
    async def test_a_field_may_have_a_name_that_a_storage_could_have_used_itself(
        self, storage: Storage, name: str
    ) -> None:
        spec = CollectionSpec("things", ("id", name), (IndexedField(name, IndexKind.INTEGER),))
        await storage.prepare_collections([spec])

        await storage.commit(writing(row("things", "1", 7, data=f'{{"id":"1","{name}":7}}')))

        equal = Condition(name, Comparison.EQUAL, 7)
        assert await keys_found(storage, "things", equal, order_by=((name, True),)) == ["1"]
        assert (await storage.get_rows("things", ["1"]))["1"].data == f'{{"id":"1","{name}":7}}'

    async def test_a_field_that_becomes_indexed_is_indexed_for_the_rows_that_are_there(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([people()])
        rows = {
            "1": '{"city":"Bonn","age":7,"score":1.5,"photo":"AP8=","vip":true}',
            "2": '{"city":"Köln \\u0041","age":-1,"score":2,"photo":"","vip":false}',
            "3": '{"city":null}',
            "4": "{}",
        }
        await storage.commit(writing(*(row("people", k, data=data) for k, data in rows.items())))

        await storage.prepare_collections(
            [
                people(
                    CITY,
                    IndexedField("age", IndexKind.INTEGER),
                    IndexedField("score", IndexKind.REAL),
                    IndexedField("photo", IndexKind.BYTES),
                    IndexedField("vip", IndexKind.INTEGER),
                )
            ]
        )

        assert await found(storage, "city", "Bonn") == ["1"]
        assert await found(storage, "city", "Köln A") == ["2"]
        assert await found(storage, "age", -1) == ["2"]
        assert await found(storage, "score", 2.0) == ["2"]
        assert await found(storage, "photo", b"\0\xff") == ["1"]
        assert await found(storage, "photo", b"") == ["2"]
        assert await found(storage, "vip", 1) == ["1"]
        for field in ("city", "age", "score", "photo", "vip"):
            assert await found(storage, field, None) == ["3", "4"]

    async def test_becoming_indexed_does_not_change_a_row_or_its_version(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([people()])
        await storage.commit(writing(row("people", "1", data='{"city":"Bonn"}')))
        before = await storage.get_rows("people", ["1"])

        await storage.prepare_collections([people(CITY)])

        assert await storage.get_rows("people", ["1"]) == before

    async def test_a_field_that_is_no_more_indexed_cannot_be_found_by(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(row("people", "1", "Bonn")))

        await storage.prepare_collections([people()])
        await storage.commit(writing(row("people", "2", data='{"city":"Bonn"}')))

        with pytest.raises(ConfigurationError):
            await found(storage, "city", "Bonn")
        assert await storage.count_rows("people") == 2

    async def test_a_field_that_is_indexed_again_is_found_by_what_was_written_meanwhile(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(row("people", "1", "Bonn", data='{"city":"Bonn"}')))
        await storage.prepare_collections([people()])
        await storage.commit(writing(row("people", "1", data='{"city":"Ulm"}')))

        await storage.prepare_collections([people(CITY)])

        assert await found(storage, "city", "Ulm") == ["1"]
        assert await found(storage, "city", "Bonn") == []

    async def test_indexed_fields_may_change_their_order(self, storage: Storage) -> None:
        age = IndexedField("age", IndexKind.INTEGER)
        await storage.prepare_collections([people(CITY, age)])
        await storage.commit(writing(row("people", "1", "Bonn", 7)))

        await storage.prepare_collections([people(age, CITY)])
        await storage.commit(writing(row("people", "2", 8, "Ulm")))

        assert await found(storage, "age", 7) == await found(storage, "city", "Bonn") == ["1"]
        assert await found(storage, "age", 8) == await found(storage, "city", "Ulm") == ["2"]

    async def test_an_indexed_field_cannot_become_another_kind(self, storage: Storage) -> None:
        await storage.prepare_collections([people(CITY)])

        with pytest.raises(ConfigurationError):
            await storage.prepare_collections([people(IndexedField("city", IndexKind.INTEGER))])

    async def test_a_field_cannot_become_unique_over_duplicates(self, storage: Storage) -> None:
        unique_city = IndexedField("city", IndexKind.TEXT, unique=True)
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(*(row("people", key, "Bonn") for key in "12")))

        with pytest.raises(ConfigurationError):
            await storage.prepare_collections([people(unique_city)])

        await storage.commit(writing(row("people", "3", "Bonn")))
        assert await found(storage, "city", "Bonn") == ["1", "2", "3"]

    async def test_a_field_can_become_unique_and_stop_being_so(self, storage: Storage) -> None:
        unique_city = IndexedField("city", IndexKind.TEXT, unique=True)
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(row("people", "1", "Bonn"), row("people", "2", None)))

        await storage.prepare_collections([people(unique_city)])
        with pytest.raises(Exception, match="Bonn"):
            await storage.commit(writing(row("people", "3", "Bonn")))
        await storage.prepare_collections([people(CITY)])
        await storage.commit(writing(row("people", "3", "Bonn")))

        assert await found(storage, "city", "Bonn") == ["1", "3"]

    async def test_if_preparing_raises_nothing_was_made(self, storage: Storage) -> None:
        await storage.prepare_collections([people(CITY)])
        wrong = people(IndexedField("city", IndexKind.REAL))

        with pytest.raises(ConfigurationError):
            await storage.prepare_collections([CollectionSpec("others", ("id",)), wrong])

        with pytest.raises(ConfigurationError):
            await storage.count_rows("others")
