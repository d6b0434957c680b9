"""A collection that is dropped is gone with its rows, and can be prepared anew as another one."""

import asyncio

import pytest

from headwater.errors import ConfigurationError, RowConflictError
from headwater.ports.changes import Changes, RowGuard
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, RowQuery
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    append,
    commit_all,
    new_event,
    row,
    writing,
)
from headwater.testing.conformance.suite import StorageSuite

USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)
OTHER_USERS = CollectionSpec("users", ("id", "email"), (IndexedField("email", IndexKind.INTEGER),))
NOTES = CollectionSpec("notes", ("id",))


class DroppingConformance(StorageSuite):
    """What `drop_collection` promises."""

    async def test_a_collection_that_is_dropped_is_gone_and_no_other(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS, NOTES])
        await storage.commit(writing(row("users", "1", "a"), row("notes", "1")))

        await storage.drop_collection("users")
        await storage.drop_collection("users")

        assert list(await storage.collections()) == [NOTES]
        assert await storage.count_rows("notes") == 1

    async def test_a_collection_that_was_never_prepared_is_dropped_without_a_word(
        self, storage: Storage
    ) -> None:
        await storage.drop_collection("users")
        await storage.drop_collection("no-name \"at all'")

    async def test_what_was_dropped_is_refused_as_if_it_had_not_been_prepared(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS])
        await storage.open_subscription("users", partitions=1, start_after=0)

        await storage.drop_collection("users")

        event = append("order-1", new_event())
        with pytest.raises(ConfigurationError, match="users"):
            await storage.commit(Changes(appends=(event,), rows=(row("users", "1", "a"),)))
        with pytest.raises(ConfigurationError, match="users"):
            await storage.commit(Changes(appends=(event,), guards=(RowGuard("users", "1", 0),)))
        with pytest.raises(ConfigurationError, match="users"):
            await storage.get_rows("users", ["1"])
        with pytest.raises(ConfigurationError, match="users"):
            await storage.find_rows("users", RowQuery())
        with pytest.raises(ConfigurationError, match="users"):
            await storage.count_rows("users")
        assert await storage.head() == 0

    async def test_it_is_gone_after_the_next_open(self, storage: Storage) -> None:
        await storage.prepare_collections([USERS])
        await storage.drop_collection("users")

        await storage.close()
        await storage.open()

        assert list(await storage.collections()) == []
        with pytest.raises(ConfigurationError, match="users"):
            await storage.count_rows("users")

    async def test_it_can_be_prepared_anew_with_other_fields_and_without_its_rows(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS])
        await storage.commit(writing(row("users", "1", "a")))
        before = (await storage.get_rows("users", ["1"]))["1"].version
        await storage.drop_collection("users")

        await storage.prepare_collections([OTHER_USERS])

        assert await storage.count_rows("users") == 0
        await storage.commit(writing(row("users", "1", 5), row("users", "2", 5)))
        with pytest.raises(RowConflictError):
            await storage.commit(writing(row("users", "1", 6, expected=before)))
        assert list(await storage.collections()) == [OTHER_USERS]

    async def test_commits_under_way_while_it_is_dropped_are_done_or_refused_whole(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS, NOTES])
        many = [
            Changes(
                rows=(row("notes", f"{number}"), row("users", f"{number}", f"{number}"))
                if number % 2
                else (row("notes", f"{number}"),)
            )
            for number in range(60)
        ]

        first, _, second = await asyncio.gather(
            commit_all(storage, many[:30]),
            storage.drop_collection("users"),
            commit_all(storage, many[30:]),
        )

        results = [*first, *second]
        refused = [number for number, one in enumerate(results) if isinstance(one, Exception)]
        assert all(isinstance(results[number], ConfigurationError) for number in refused)
        assert all(number % 2 for number in refused)
        assert await storage.count_rows("notes") == 60 - len(refused)
