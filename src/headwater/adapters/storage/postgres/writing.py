"""The connection that commits: what was sent on one that was lost is sent again on the next."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from headwater.adapters.storage.postgres.connections import (
    Connection,
    abandon,
    close,
    connect,
    let_go_of,
)
from headwater.adapters.storage.postgres.failures import is_lost, is_read_only, is_undecided
from headwater.adapters.storage.postgres.patience import Patience
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import OutcomeUnknownError, StorageError

# A commit that has returned is promised to be durable. A stricter setting stays.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)


class WritingConnection:
    """One connection for calls of the functions that commit, made anew when it is lost.

    The functions know a call that comes again, so it is safe to send it again: by the number
    of its batch, or by the ids of its events.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._was_connected = False
        self._statements: dict[str, Any] = {}
        self.seconds_away: float = 0.0
        """For how long calls were not with the server, all together."""

    async def get(self) -> Connection:
        """Return the connection, made if there is none.

        Raises:
            StorageError: the server can't be reached or used.
        """
        if self._connection is None or self._connection.is_closed():
            self._connection, self._statements = None, {}
            connection = await connect(self._settings, first=not self._was_connected)
            if not self._settings.pooled_by_pgbouncer:
                with let_go_of(connection):
                    await connection.execute(_DURABLE)
            self._connection, self._was_connected = connection, True
        return self._connection

    async def call(self, sql: str, values: Sequence[Any]) -> asyncpg.Record:
        """Return the row that *sql* returns, sent again for `patience_seconds` if need be.

        They count from when the connection was lost.

        Raises:
            StorageUnavailableError: the server can't be reached; nothing was sent.
            OutcomeUnknownError: it was sent, and then the server could not be reached any more,
                or did not get so far as to find out what came of it.
            StorageError: the connection is refused.
            asyncpg.PostgresError: the server refused the statement.
        """
        patience, sent = Patience(self._settings.patience_seconds), False
        loop = asyncio.get_running_loop()
        left_at = loop.time()
        while True:
            try:
                connection = await self.get()
            except Exception as error:
                if not is_lost(error) or patience.ends():
                    if sent:
                        raise self._unknown(error) from error
                    raise
            else:
                self.seconds_away += loop.time() - left_at
                left_at = loop.time()  # in case that this is lost
                try:
                    return await self._send(connection, sql, values)
                except Exception as error:
                    lost = connection.is_closed() or is_lost(error)
                    lost = lost or isinstance(error, TimeoutError)
                    if lost and not sent:
                        # What came of it can be found out only by sending it once more.
                        patience, sent = Patience(self._settings.patience_seconds), True
                    if lost or is_read_only(error):
                        # The next one may reach the server that has taken over.
                        self.drop()
                    # What was sent before may still be under way on the connection that was lost,
                    # and be done yet: a refusal to look tells nothing of it.
                    if not (lost or (sent and is_undecided(error))):
                        raise
                    if patience.ends():
                        raise self._unknown(error) from error
            await patience.pause()

    async def close(self) -> None:
        """Close the connection in good form."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    def drop(self) -> None:
        """Let go of the connection at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def abandon(self) -> None:
        """Let go of the connection where the event loop was closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            abandon(connection)

    async def _send(
        self, connection: Connection, sql: str, values: Sequence[Any]
    ) -> asyncpg.Record:
        if self._settings.pooled_by_pgbouncer:
            async with connection.transaction(isolation="read_committed"):
                row = await connection.fetchrow(sql, *values)
        else:
            statement = self._statements.get(sql)
            if statement is None:
                statement = self._statements[sql] = await connection.prepare(sql)
            row = await statement.fetchrow(*values)
        if row is None:
            raise StorageError(f"{self._settings.where}: a commit was not answered.")
        found: asyncpg.Record = row
        return found

    def _unknown(self, error: Exception) -> OutcomeUnknownError:
        where, seconds = self._settings.where, self._settings.patience_seconds
        return OutcomeUnknownError(
            f"{where}: the connection was lost during a commit, and what came of it could not be "
            f"found out within {seconds} s ({type(error).__name__}). It may be done or not: look "
            f"for it, or send the same message again under the same id.",
            where=where,
        )
