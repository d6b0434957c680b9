"""Collections on PostgreSQL: made by several at once, by roles with few rights, shown to SQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import rows
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.collections import prepare, stored_collections
from headwater.adapters.storage.postgres.connections import Connection, close, connect
from headwater.adapters.storage.postgres.schema import upgrade
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import ConfigurationError
from headwater.ports.rows import (
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    RowQuery,
)

CITY = IndexedField("city", IndexKind.TEXT)
AGE = IndexedField("age", IndexKind.INTEGER)
PEOPLE = CollectionSpec("people", ("id", "city"))
LONG = "x" * 63


@pytest.fixture
async def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    settings = PostgresSettings.from_url(f"{postgres_url}?schema={postgres_schema}")
    await upgrade(settings)
    return settings


@pytest.fixture
async def connection(settings: PostgresSettings) -> AsyncIterator[Connection]:
    connection = await connect(settings)
    yield connection
    await close(connection)


async def make(connection: Connection, schema: str, *specs: CollectionSpec) -> list[Collection]:
    """Prepare collections and return them."""
    return [*await prepare(connection, specs, schema=schema, lock_seconds=10)]


async def add(connection: Connection, collection: Collection, key: str, data: str) -> None:
    """Write a row without its indexed values."""
    await connection.execute(
        f"INSERT INTO {collection.table} (key, version, data) VALUES ($1, 1, $2)", key, data
    )


async def test_several_may_prepare_the_same_collections_at_once(
    settings: PostgresSettings,
) -> None:
    specs = [CollectionSpec(f"c{n}", ("id", "city"), (CITY,)) for n in range(3)]
    connections = await asyncio.gather(*(connect(settings) for _ in range(6)))

    await asyncio.gather(
        # Each names them in another order.
        *(
            make(one, settings.schema, *specs[n % 3 :], *specs[: n % 3])
            for n, one in enumerate(connections)
        )
    )

    found = await stored_collections(connections[0], settings.schema)
    assert [one.spec for one in found] == specs
    for one in connections:
        await close(one)


async def test_a_role_that_may_not_make_tables_is_told_the_sql_that_does(
    settings: PostgresSettings, connection: Connection
) -> None:
    schema = role = settings.schema
    await connection.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
    )
    spec = CollectionSpec("people", ("id", "city"), (CITY,))
    poor = await connect(replace(settings, user=role))

    with pytest.raises(ConfigurationError, match="CREATE TABLE") as told:
        await make(poor, schema, spec)
    await connection.execute(str(told.value).partition("run:\n")[2])

    (people,) = await make(poor, schema, spec)
    await add(poor, people, "1", "{}")
    assert await rows.count_rows(poor, people, ()) == 1
    await close(poor)
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_right_to_make_tables_is_not_needed_where_all_are_there(
    settings: PostgresSettings, connection: Connection
) -> None:
    await make(connection, settings.schema, PEOPLE)
    await connection.execute("SET default_transaction_read_only = on")

    await make(connection, settings.schema, PEOPLE)


async def test_a_view_shows_all_members_that_were_ever_named(
    settings: PostgresSettings, connection: Connection
) -> None:
    (people,) = await make(connection, settings.schema, PEOPLE)
    await add(connection, people, "1", '{"id":"1","city":"Bonn","age":7}')

    for fields in (("id",), ("age", "id")):
        await make(connection, settings.schema, CollectionSpec("people", fields))

    (shown,) = await connection.fetch(f"SELECT * FROM {settings.schema}.people")
    assert dict(shown) == {"_key": "1", "_version": 1, "id": "1", "city": "Bonn", "age": "7"}


async def test_names_may_be_as_long_as_the_port_allows(
    settings: PostgresSettings, connection: Connection
) -> None:
    names = [LONG[:62] + end for end in "ab"]
    indexed = tuple(IndexedField(name, IndexKind.TEXT) for name in names)
    specs = [CollectionSpec(name, tuple(names), indexed) for name in names]

    made = await make(connection, settings.schema, *specs)

    await add(connection, made[0], "1", "{}")
    assert [await rows.count_rows(connection, one, ()) for one in made] == [1, 0]
    await connection.fetch(f"SELECT {', '.join(names)} FROM {settings.schema}.{names[1]}")


async def test_a_collection_is_not_made_over_what_somebody_else_has(
    settings: PostgresSettings, connection: Connection
) -> None:
    await connection.execute(f"CREATE TABLE {settings.schema}.people (mine int)")

    with pytest.raises(ConfigurationError, match="people"):
        await make(connection, settings.schema, CollectionSpec("others", ("id",)), PEOPLE)

    assert await stored_collections(connection, settings.schema) == []
    assert await connection.fetch(f"SELECT mine FROM {settings.schema}.people") == []


@pytest.mark.parametrize(
    ("field", "data", "expected"),
    [
        (CITY, r'{"x":"a\u0000b","city":"Bonn"}', "Bonn"),
        (CITY, r'{"city":"\"\\\u00e4\n"}', '"\\ä\n'),
        (CITY, '{"city":["Bonn"]}', None),
        (CITY, "[]", None),
        (AGE, '{"age":9223372036854775807}', 2**63 - 1),
        (AGE, '{"age":-9223372036854775808}', -(2**63)),
        (AGE, '{"age":9223372036854775808}', None),
        (AGE, '{"age":1e3}', None),
        (AGE, '{"age":7.0}', None),
        (AGE, '{"age":"7"}', None),
        (IndexedField("f", IndexKind.REAL), '{"f":-1e-3}', -0.001),
        (IndexedField("f", IndexKind.REAL), '{"f":true}', None),
        (IndexedField("f", IndexKind.BYTES), '{"f":"AP8"}', None),
        (IndexedField("f", IndexKind.BYTES), '{"f":"AP8=\\n"}', None),
    ],
)
async def test_a_field_that_becomes_indexed_takes_what_fits_and_null_for_all_else(
    settings: PostgresSettings,
    connection: Connection,
    field: IndexedField,
    data: str,
    expected: str | int | float | None,
) -> None:
    (people,) = await make(connection, settings.schema, PEOPLE)
    await add(connection, people, "1", data)

    (people,) = await make(connection, settings.schema, replace(PEOPLE, indexed=(field,)))

    equal = Condition(field.name, Comparison.EQUAL, expected)
    (found,) = await rows.find_rows(connection, people, RowQuery(conditions=(equal,)))
    assert (found.key, found.data) == ("1", data)


async def test_pages_of_rows_come_sorted_from_the_index(
    settings: PostgresSettings, connection: Connection
) -> None:
    (people,) = await make(connection, settings.schema, replace(PEOPLE, indexed=(CITY,)))
    await connection.execute(
        f"INSERT INTO {people.table} SELECT n, n, '{{}}', n % 100 "
        f"FROM generate_series(1, 5000) AS n; ANALYZE {people.table}"
    )

    plan = await connection.fetch(
        f"EXPLAIN SELECT key FROM {people.table} ORDER BY ix_city ASC NULLS FIRST, key LIMIT 10"
    )

    assert "Sort" not in str(plan)
