"""Transactions of more than one statement, which hold nobody up for long where they stall."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from headwater.adapters.storage.postgres.connections import Connection


@asynccontextmanager
async def writing(
    connection: Connection, schema: str, *, lock_seconds: float
) -> AsyncGenerator[None, None]:
    """Begin a transaction as commits begin theirs; *schema* is quoted.

    It waits for a lock of others for *lock_seconds* at most, and the server ends it where it
    hears nothing for half as long, or a second if that is more.
    """
    async with connection.transaction(isolation="read_committed"):
        lock_ms = max(1, round(lock_seconds * 1000))
        await connection.execute(f"SELECT {schema}.enter_v1($1)", lock_ms)
        yield
