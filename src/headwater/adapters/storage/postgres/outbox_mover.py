"""The mover: the part of an open storage that takes the outbox into the log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from headwater.adapters.storage.postgres.connections import (
    ATTEMPT_SECONDS,
    ATTEMPT_SECONDS_MAX,
    Connection,
    abandon,
    close,
    connect,
)
from headwater.adapters.storage.postgres.failures import translated
from headwater.adapters.storage.postgres.outbox import (
    Moved,
    OutboxTable,
)
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import StorageReadOnlyError
from headwater.ports.outbox import OutboxStatus, RejectedRow

_log = logging.getLogger("headwater")
_T = TypeVar("_T")

READ_ONLY_SECONDS: Final = 5.0
"""How long a mover waits before it looks again whether a database can be written to."""

POLL_SECONDS: Final = 0.002
"""How often `OutboxMover.wait_until_moved` looks at first; half as often each time."""

POLL_SECONDS_MAX: Final = 0.1

REJECTED_ROWS_MAX: Final = 1000
"""The most rejected rows that are returned at once."""

REJECTED_ROWS_TOLD_MAX: Final = 10
"""The most rejected rows of a batch that the log names one by one."""


class OutboxMover:
    """Moves staged rows into the log from `start` to `stop`, beside any number of others.

    It wakes when something is staged, and looks every `PostgresSettings.poll_seconds` all the
    same. A connection that is lost is made anew until it is stopped; meanwhile rows wait.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        # Whoever can listen there can also write there, and needs no second connection.
        listens = settings.wake_ups == "listen"
        self._settings = settings.listening() if listens else settings
        self._listens = listens
        self._outbox = OutboxTable(settings)
        self._staged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._told = False

    @property
    def schema(self) -> str:
        """The schema that the outbox is in."""
        return self._settings.schema

    def start(self) -> None:
        """Begin to move; once it has begun, this does nothing."""
        if self._task is None:
            self._staged = asyncio.Event()
            self._task = asyncio.create_task(self._run(), name="headwater outbox mover")

    async def stop(self) -> None:
        """Finish the batch that is being moved, then let go of the connection."""
        task, self._task = self._task, None
        if task is not None:
            self._staged.set()
            await task

    def abandon(self) -> None:
        """Let go of everything where the event loop was closed."""
        self._task = None
        if self._connection is not None:
            abandon(self._connection)
            self._connection = None

    # ------------------------------------------------------------------- what others may ask

    async def move(self) -> Moved:
        """Move what waits now, on a connection of its own, also where no mover runs.

        Rows that another process is moving at this moment are left to it.
        """

        async def all_of_it(connection: Connection) -> Moved:
            total = Moved()
            while (moved := await self._move(connection)) is not None:
                total = Moved(
                    total.moved + moved.moved,
                    total.repeated + moved.repeated,
                    total.rejected + moved.rejected,
                )
            return total

        return await self._on_a_connection(all_of_it)

    async def wait_until_moved(self, seq: int | None = None, *, seconds: float = 30.0) -> None:
        """Return when no committed row up to number *seq* waits any more.

        Without *seq*, up to the newest row that is there now. For tests and scripts: it polls.

        Raises:
            TimeoutError: some were still waiting after *seconds*. Does a mover run?
        """

        async def until_gone(connection: Connection) -> int | None:
            loop = asyncio.get_running_loop()
            give_up_at, pause = loop.time() + seconds, POLL_SECONDS
            target = await self._outbox.last_seq(connection) if seq is None else seq
            while await self._outbox.waits_up_to(connection, target):
                if loop.time() > give_up_at:
                    return target
                await asyncio.sleep(pause)
                pause = min(2 * pause, POLL_SECONDS_MAX)
            return None

        waiting = await self._on_a_connection(until_gone)
        if waiting is not None:
            raise TimeoutError(
                f"Rows that were staged, up to number {waiting}, still wait after {seconds:.3g} s. "
                f"Is a storage open that moves the outbox?"
            )

    async def status(self) -> OutboxStatus:
        """Return how many rows wait, for how long, and how many were put aside."""
        return await self._on_a_connection(self._outbox.status)

    async def rejected(
        self, *, after: int = 0, limit: int = REJECTED_ROWS_MAX
    ) -> tuple[RejectedRow, ...]:
        """Return rows that could not be moved, from number *after* (excluded) on.

        Raises:
            ValueError: *limit* is outside 1 … `REJECTED_ROWS_MAX`.
        """
        if not 1 <= limit <= REJECTED_ROWS_MAX:
            raise ValueError(f"limit must be 1 to {REJECTED_ROWS_MAX}, not {limit}")
        return await self._on_a_connection(
            lambda connection: self._outbox.rejected(connection, after=after, limit=limit)
        )

    async def redrive(self, seqs: Sequence[int]) -> int:
        """Stage rejected rows again, behind those that wait; return how many there were."""
        return await self._on_a_connection(
            lambda connection: self._outbox.redrive(connection, seqs)
        )

    # -------------------------------------------------------------------------- internals

    async def _run(self) -> None:
        delay = ATTEMPT_SECONDS
        while self._task is not None:
            try:
                await self._work()
            except StorageReadOnlyError:
                # A standby; once it is promoted there is something to do.
                await self._pause(READ_ONLY_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, rows wait and it is told
                self._tell(error)
                await self._pause(delay)
                delay = min(2 * delay, ATTEMPT_SECONDS_MAX)
            else:
                delay = ATTEMPT_SECONDS

    async def _work(self) -> None:
        connection = self._connection = await connect(self._settings)
        try:
            if self._listens:
                await connection.add_listener(self._outbox.channel, self._notified)
            while self._task is not None:
                # Before it looks, so that what is staged after the look is not missed.
                self._staged.clear()
                moved = await self._move(connection)
                if moved is None:
                    await self._rest()
                else:
                    self._told = False
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise translated(error, self._settings) from error
        finally:
            self._connection = None
            await close(connection)

    async def _move(self, connection: Connection) -> Moved | None:
        if self._settings.pooled_by_pgbouncer:
            async with connection.transaction(isolation="read_committed"):
                moved = await self._outbox.move(connection)
        else:
            moved = await self._outbox.move(connection)
        if moved is not None and moved.rejected:
            await self._tell_rejected(connection, moved.rejected)
        return moved

    async def _tell_rejected(self, connection: Connection, rejected: int) -> None:
        limit = min(rejected, REJECTED_ROWS_TOLD_MAX)
        for row in reversed(await self._outbox.last_rejected(connection, limit=limit)):
            _log.warning(
                "Staged event %s (%s) for stream %r was put aside: %s. When that is mended: "
                "headwater outbox redrive %s",
                row.id,
                row.type,
                row.stream_id,
                row.reason,
                row.seq,
            )
        if rejected > limit:
            _log.warning(
                "%s more staged events were put aside: headwater outbox list", rejected - limit
            )

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._staged.wait(), self._settings.poll_seconds)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped(), seconds)

    async def _stopped(self) -> None:
        while self._task is not None:
            await self._staged.wait()
            self._staged.clear()

    def _notified(self, *_: Any) -> None:
        self._staged.set()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.warning("The outbox is not moved at the moment; it is tried again: %s", error)

    async def _on_a_connection(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        connection = await connect(self._settings)
        try:
            return await work(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise translated(error, self._settings) from error
        finally:
            await close(connection)
