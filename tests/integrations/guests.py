"""What these tests stage, and the connections that users of each driver have."""

from typing import Any, NamedTuple

import asyncpg

from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.integrations.outbox import Outbox, Staged
from headwater.messages import Event
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry


class Invited(Event, context="guests"):
    name: str


class Declined(Event, context="guests"):
    name: str


class Stored(NamedTuple):
    """An event of the log, as a person would look at it."""

    position: int
    stream_id: str
    version: int
    name: str


class House:
    """One schema: its outbox, a mover that the test starts, and a look at the log."""

    def __init__(self, settings: PostgresSettings, url: str) -> None:
        self.settings, self.url = settings, url
        self.schema = settings.schema
        self.outbox = Outbox(EventCodec(TypeRegistry()), schema=settings.schema)
        self.mover = OutboxMover(settings)

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection as a user makes it."""
        return await asyncpg.connect(self.url)

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Run one statement; ``@`` stands for the schema."""
        connection = await self.connect()
        try:
            return await connection.fetch(statement.replace("@", self.schema), *values)
        finally:
            await connection.close()

    async def log(self) -> list[Stored]:
        rows = await self.sql(
            "SELECT position, stream_id, version, data->>'name' AS name FROM @.events "
            "ORDER BY position"
        )
        return [Stored(*row) for row in rows]

    async def waiting(self) -> int:
        return (await self.mover.status()).waiting

    async def stage(self, stream_id: str, *events: object) -> Staged:
        """Stage in a transaction that is committed at once."""
        connection = await self.connect()
        try:
            async with connection.transaction():
                return await self.outbox.stage(connection, stream_id, events)
        finally:
            await connection.close()
