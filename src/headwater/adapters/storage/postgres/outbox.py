"""The outbox: what applications staged in transactions of their own, moved into the log."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.failures import code_of
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.ports.outbox import OutboxStatus, RejectedRow

OUTBOX_ROWS_MAX: Final = 1000
"""The most staged rows that are moved in one transaction."""

OUTBOX_BYTES_MAX: Final = 4 * 1024 * 1024
"""The most bytes of data, as they are stored, that are moved in one transaction."""

EVENT_BYTES_MAX: Final = 1024 * 1024
"""The most bytes that the data of one staged event may have."""

_REJECTED: Final = "seq, stream_id, id, type, data::text AS data, reason, staged_at, rejected_at"
_UNFORESEEN: Final = ("22", "23", "54")  # Classes: data, constraints, limits of the server.


class Moved(msgspec.Struct, frozen=True):
    """What came of a batch: how many rows became events, were known already, were put aside."""

    moved: int = 0
    repeated: int = 0
    rejected: int = 0

    @property
    def rows(self) -> int:
        """How many rows have left the outbox."""
        return self.moved + self.repeated + self.rejected


_MOVED: Final = msgspec.json.Decoder(Moved).decode


class OutboxTable:
    """What can be done with the outbox on a connection of the storage's own."""

    def __init__(self, settings: PostgresSettings) -> None:
        """Use the schema of *settings*."""
        self._schema = settings.quoted_schema
        self._channel = f"{settings.schema}_outbox"
        self._lock_ms = int(settings.lock_seconds * 1000)
        self._singly = 0

    @property
    def channel(self) -> str:
        """What is notified when rows were staged."""
        return self._channel

    async def move(self, connection: Connection) -> Moved | None:
        """Move one batch; None if there is nothing to do, or another process is doing it.

        After a batch that failed unforeseen, rows are moved one at a time for a while, so that
        the one which can't be moved is found.
        """
        if self._singly:
            self._singly -= 1
            call, values = "move_outbox_singly_v1($1, $2)", (EVENT_BYTES_MAX, self._lock_ms)
            return await self._call(connection, call, *values)
        call = "move_outbox_v1($1, $2, $3, $4)"
        limits = (OUTBOX_ROWS_MAX, OUTBOX_BYTES_MAX, EVENT_BYTES_MAX, self._lock_ms)
        try:
            return await self._call(connection, call, *limits)
        except asyncpg.PostgresError as error:
            if not code_of(error).startswith(_UNFORESEEN):
                raise
            self._singly = OUTBOX_ROWS_MAX
            return Moved()

    async def waits_up_to(self, connection: Connection, seq: int) -> bool:
        """Return whether a row that can be seen, with a number up to *seq*, is still staged."""
        found = f"SELECT EXISTS (SELECT FROM {self._schema}.outbox WHERE seq <= $1)"
        return bool(await connection.fetchval(found, seq))

    async def last_seq(self, connection: Connection) -> int:
        """Return the number of the newest row that can be seen; 0 if none waits."""
        newest = f"SELECT coalesce(max(seq), 0) FROM {self._schema}.outbox"
        return int(await connection.fetchval(newest))

    async def status(self, connection: Connection) -> OutboxStatus:
        """Return how much waits."""
        (row,) = await connection.fetch(
            f"SELECT (SELECT count(*) FROM {self._schema}.outbox) AS waiting, "
            f"(SELECT extract(epoch FROM clock_timestamp() - min(staged_at))::float8 "
            f"FROM {self._schema}.outbox) AS oldest, "
            f"(SELECT count(*) FROM {self._schema}.outbox_rejected) AS rejected"
        )
        return OutboxStatus(row["waiting"], row["oldest"] or 0.0, row["rejected"])

    async def rejected(
        self, connection: Connection, *, after: int, limit: int
    ) -> tuple[RejectedRow, ...]:
        """Return rows that were put aside, from the oldest on."""
        rows = await connection.fetch(
            f"SELECT {_REJECTED} FROM {self._schema}.outbox_rejected WHERE seq > $1 "
            # All that have the last number, because the next page begins behind it.
            f"ORDER BY seq FETCH FIRST $2 ROWS WITH TIES",
            after,
            limit,
        )
        return tuple([_rejected(row) for row in rows])

    async def last_rejected(self, connection: Connection, *, limit: int) -> tuple[RejectedRow, ...]:
        """Return the rows that were put aside last, the newest first."""
        rows = await connection.fetch(
            f"SELECT {_REJECTED} FROM {self._schema}.outbox_rejected "
            f"ORDER BY rejected_at DESC, seq DESC LIMIT $1",
            limit,
        )
        return tuple([_rejected(row) for row in rows])

    async def redrive(self, connection: Connection, seqs: Sequence[int]) -> int:
        """Stage rows again that were put aside; return how many there were."""
        return int(
            await connection.fetchval(
                f"SELECT count FROM {self._schema}.redrive_outbox_v1($1) AS count, "
                f"pg_notify($2, '')",
                list(seqs),
                self.channel,
            )
        )

    async def _call(self, connection: Connection, call: str, *values: int) -> Moved | None:
        text = await connection.fetchval(f"SELECT {self._schema}.{call}::text", *values)
        return None if text is None else _MOVED(text)


def _rejected(row: Any) -> RejectedRow:
    return RejectedRow(
        row["seq"],
        row["stream_id"],
        UUID(bytes=bytes(row["id"])),
        row["type"],
        row["data"],
        row["reason"],
        row["staged_at"],
        row["rejected_at"],
    )
