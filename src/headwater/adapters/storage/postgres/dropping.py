"""Drops a collection: its view, its table, and what is kept of its spec."""

import asyncpg

from headwater.adapters.storage.postgres.collections import (
    DDL_SECONDS_MAX,
    lock_collections,
    stored_collections,
)
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.transactions import writing
from headwater.errors import ConfigurationError


async def drop(connection: Connection, name: str, *, schema: str, lock_seconds: float) -> None:
    """Delete the collection *name* with all its rows; if there is none, do nothing.

    Raises:
        ConfigurationError: the role may not do so, or something of somebody else's depends on it.
    """
    statements: list[str] = []
    try:
        async with writing(connection, schema, lock_seconds=lock_seconds):
            await lock_collections(connection, [name], schema=schema)
            for one in await stored_collections(connection, schema):
                if one.spec.name == name:
                    # Names of collections need no quotes within a text.
                    statements = [
                        f"DELETE FROM {schema}.collections WHERE name = '{name}'",
                        f"DROP VIEW IF EXISTS {one.view}",
                        f"DROP TABLE IF EXISTS {one.table}",
                    ]
            for statement in statements:
                await connection.execute(statement, timeout=DDL_SECONDS_MAX)
    except asyncpg.InsufficientPrivilegeError as error:
        if not statements:
            raise
        sql = "\n".join(f"{statement};" for statement in statements)
        raise ConfigurationError(
            f"This role may not drop the collection {name!r} ({error}). Let its owner run:\n"
            f"BEGIN;\n{sql}\nCOMMIT;"
        ) from error
    except asyncpg.DependentObjectsStillExistError as error:
        raise ConfigurationError(
            f"The collection {name!r} can't be dropped, because something that is not Headwater's "
            f"depends on it ({error}: {error.detail}). Drop that first."
        ) from error
