"""Unique fields keep rows apart, one after another and in the order of the spec."""

import pytest

from headwater.errors import DuplicateValueError, RowConflictError
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import deletion, row, writing
from headwater.testing.conformance.suite import StorageSuite

USERS = CollectionSpec(
    "users",
    ("id", "email", "badge", "age"),
    (
        IndexedField("email", IndexKind.TEXT, unique=True),
        IndexedField("badge", IndexKind.INTEGER, unique=True),
    ),
)


class UniqueConformance(StorageSuite):
    """What a unique indexed field promises."""

    @pytest.fixture
    async def users(self, storage: Storage) -> Storage:
        """The storage with room for users, whose e-mail address and badge are unique."""
        await storage.prepare_collections([USERS])
        return storage

    async def test_a_unique_value_that_another_row_has_is_refused(self, users: Storage) -> None:
        await users.commit(writing(row("users", "1", "anna@b.c", 1)))

        with pytest.raises(DuplicateValueError) as refusal:
            await users.commit(writing(row("users", "2", "anna@b.c", 2)))

        told = refusal.value
        assert (told.collection, told.field) == ("users", "email")
        assert (told.value, told.key) == ("anna@b.c", "2")
        assert await users.count_rows("users") == 1

    async def test_of_several_duplicate_fields_the_first_of_the_spec_is_named(
        self, users: Storage
    ) -> None:
        await users.commit(writing(row("users", "1", "anna@b.c", 1)))

        for email, badge, field, value in (
            ("anna@b.c", 1, "email", "anna@b.c"),
            ("bert@b.c", 1, "badge", 1),
        ):
            with pytest.raises(DuplicateValueError) as refusal:
                await users.commit(writing(row("users", "2", email, badge)))
            assert (refusal.value.field, refusal.value.value) == (field, value)

    async def test_a_row_may_keep_its_own_unique_value(self, users: Storage) -> None:
        for data in ("1", "2"):
            await users.commit(writing(row("users", "1", "anna@b.c", 1, data=data)))

        assert (await users.get_rows("users", ["1"]))["1"].data == "2"

    async def test_null_is_never_a_duplicate(self, users: Storage) -> None:
        await users.commit(writing(row("users", "1", None, None), row("users", "2", None, None)))

        assert await users.count_rows("users") == 2

    async def test_unique_values_differ_by_case_and_by_the_last_space(self, users: Storage) -> None:
        emails = ["a@b.c", "A@b.c", "a@b.c ", "", " "]
        await users.commit(writing(*(row("users", email, email, None) for email in emails)))

        assert await users.count_rows("users") == len(emails)

    async def test_a_unique_value_is_free_once_its_row_changed_or_went(
        self, users: Storage
    ) -> None:
        await users.commit(writing(row("users", "1", "a", 1), row("users", "2", "b", 2)))
        await users.commit(writing(row("users", "1", "c", 1), deletion("users", "2")))

        await users.commit(writing(row("users", "3", "a", 3), row("users", "4", "b", 2)))

        assert await users.count_rows("users") == 3

    async def test_duplicates_within_one_value_are_refused(self, users: Storage) -> None:
        with pytest.raises(DuplicateValueError) as refusal:
            await users.commit(writing(row("users", "1", "a", 1), row("users", "2", "a", 2)))

        assert refusal.value.key == "2"
        assert await users.count_rows("users") == 0

    async def test_a_unique_value_moves_if_the_first_row_leaves_it_first(
        self, users: Storage
    ) -> None:
        await users.commit(writing(row("users", "1", "a", 1)))

        await users.commit(writing(row("users", "1", "b", 1), row("users", "2", "a", 2)))

        assert await users.count_rows("users") == 2

    async def test_two_rows_cannot_swap_unique_values_in_one_value(self, users: Storage) -> None:
        await users.commit(writing(row("users", "1", "a", 1), row("users", "2", "b", 2)))

        with pytest.raises(DuplicateValueError) as refusal:
            await users.commit(writing(row("users", "1", "b", 1), row("users", "2", "a", 2)))

        assert (refusal.value.key, refusal.value.value) == ("1", "b")

    async def test_rows_are_checked_one_after_another(self, users: Storage) -> None:
        await users.commit(writing(row("users", "1", "a", 1)))
        duplicate = row("users", "2", "a", 2)
        conflict = row("users", "3", "c", 3, expected=77)

        with pytest.raises(DuplicateValueError):
            await users.commit(writing(duplicate, conflict))
        with pytest.raises(RowConflictError):
            await users.commit(writing(conflict, duplicate))
