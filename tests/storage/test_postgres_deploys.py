"""Code of two versions writes rows of one collection at the same time, as while it is deployed."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.errors import DuplicateValueError
from headwater.ports.changes import Committed
from headwater.ports.rows import CollectionSpec, Comparison, Condition, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    commit_all,
    keys_found,
    new_event,
    row,
    tombstone,
    writing,
)

NAME = IndexedField("name", IndexKind.TEXT)
STATE = IndexedField("state", IndexKind.TEXT)
EMAIL = IndexedField("email", IndexKind.TEXT, unique=True)
OLD = CollectionSpec("orders", ("name", "state", "email"), (NAME,))
NEW = CollectionSpec("orders", ("name", "state", "email"), (STATE, EMAIL, NAME))


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    url = f"{postgres_url}?sslmode=disable&schema={postgres_schema}"
    return replace(PostgresSettings.from_url(url), auto_migrate=True, moves_outbox=False)


@pytest.fixture
async def old(settings: PostgresSettings) -> AsyncIterator[PostgresStorage]:
    """The storage of a process that does not know of two indexed fields."""
    storage = PostgresStorage(settings)
    await storage.open()
    await storage.prepare_collections([OLD])
    yield storage
    await storage.close()


@pytest.fixture
async def new(settings: PostgresSettings, old: PostgresStorage) -> AsyncIterator[PostgresStorage]:
    """The storage of a process that does."""
    storage = PostgresStorage(settings)
    await storage.open()
    await storage.prepare_collections([NEW])
    yield storage
    await storage.close()


async def in_state(storage: Storage, state: str) -> list[str]:
    return await keys_found(storage, "orders", Condition("state", Comparison.EQUAL, state))


async def test_what_old_code_writes_is_found_by_fields_that_only_new_code_knows(
    old: PostgresStorage, new: PostgresStorage
) -> None:
    await new.commit(writing(row("orders", "1", "open", "a@x", "ada", data='{"state":"open"}')))
    await old.commit(writing(row("orders", "1", "ada", data='{"state":"sent","email":"a@x"}')))
    await old.commit(writing(row("orders", "2", "bob", data='{"state":"sent"}')))
    # Those that are committed one by one, too.
    changes = writing(row("orders", "3", "eve", data='{"state":"sent"}'))
    await old.commit(replace(changes, streams=(tombstone("order-1"),)))

    assert await in_state(new, "sent") == ["1", "2", "3"]
    assert await in_state(new, "open") == []


async def test_a_row_that_old_code_was_refused_keeps_what_new_code_indexed(
    old: PostgresStorage, new: PostgresStorage
) -> None:
    await new.commit(writing(row("orders", "1", "as-it-sorts", None, "ada")))

    await commit_all(
        old,
        [
            writing(row("orders", "2", "bob", data='{"state":"sent"}')),
            writing(row("orders", "1", "ada", data='{"state":"sent"}', expected=99)),
        ],
    )

    assert await in_state(new, "as-it-sorts") == ["1"]
    assert await in_state(new, "sent") == ["2"]


async def test_old_code_that_begins_anew_leaves_what_new_code_relies_on(
    old: PostgresStorage, new: PostgresStorage
) -> None:
    await old.prepare_collections([OLD])
    await old.commit(writing(row("orders", "1", "ada", data='{"state":"sent","email":"a@x"}')))

    assert await in_state(new, "sent") == ["1"]
    with pytest.raises(DuplicateValueError, match="this code does not name"):
        await old.commit(writing(row("orders", "2", "bob", data='{"email":"a@x"}')))
    await old.commit(appending("order-1", new_event()))
    assert list(await new.collections()) == list(await old.collections())


LONG = "x" * 63


@pytest.mark.parametrize(
    ("field", "json", "value"),
    [
        (EMAIL, '"a@x"', "a@x"),
        (IndexedField("age", IndexKind.INTEGER, unique=True), "7", 7),
        (IndexedField("b", IndexKind.BYTES, unique=True), '"AP8="', "AP8="),
        (IndexedField(LONG, IndexKind.TEXT, unique=True), '"a@x"', "a@x"),
    ],
)
async def test_what_was_unique_once_is_told_as_taken_with_the_row_and_the_way_out(
    old: PostgresStorage, field: IndexedField, json: str, value: object
) -> None:
    before = CollectionSpec("people", ("id", field.name), (field,))
    plain = replace(before, indexed=())
    data = f'{{"{field.name}":{json}}}'
    await old.prepare_collections([before])
    await old.prepare_collections([plain])
    await old.commit(writing(row("people", "1", data=data)))

    # One commit fails; those that wait with it don't.
    results = await commit_all(
        old,
        [
            appending("order-1", new_event()),
            writing(row("people", "2"), row("people", "3", data=data)),
            writing(row("people", "4")),
        ],
    )

    assert [type(one) for one in results] == [Committed, DuplicateValueError, Committed]
    refused = results[1]
    assert isinstance(refused, DuplicateValueError)
    told = (refused.collection, refused.field, refused.value, refused.key)
    assert told == ("people", field.name, value, "3")
    assert "indexed, not unique" in str(refused)

    # The way out that it names.
    await old.prepare_collections([replace(plain, indexed=(replace(field, unique=False),))])
    await old.prepare_collections([plain])
    await old.commit(writing(row("people", "3", data=data)))
