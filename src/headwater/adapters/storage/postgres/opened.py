"""Whether a storage is open, and where: one event loop of one process at a time."""

import asyncio
import os
from typing import Final, TypeVar

from headwater.adapters.storage.postgres.administration import AdministrationStatements
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.connections import Read
from headwater.adapters.storage.postgres.log import LogStatements
from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.restoration import RestorationStatements
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.streams import StreamStatements
from headwater.adapters.storage.postgres.subscriptions import SubscriptionStatements
from headwater.adapters.storage.postgres.workers import Workers
from headwater.clock import Clock, SystemClock
from headwater.errors import ConfigurationError, ForkedProcessError, StorageClosedError

SYSTEM_CLOCK: Final = SystemClock()
_CLOSED: Final = "The storage is not open, or was closed meanwhile: nothing was done."

_Result = TypeVar("_Result")


class OpenedStorage:
    """The part of a storage that knows whether it is open, and lends its connections."""

    def __init__(self, settings: PostgresSettings | str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Use the schema that *settings*, or a URL, name; nothing is done before `open`."""
        if isinstance(settings, str):
            settings = PostgresSettings.from_url(settings)
        self.settings: Final = settings
        self._clock: Final = clock
        self._collections: Final[dict[str, Collection]] = {}
        self._log: Final = LogStatements(settings.quoted_schema)
        self._streams: Final = StreamStatements(settings.quoted_schema)
        self._subscriptions: Final = SubscriptionStatements(settings.quoted_schema)
        self._administration: Final = AdministrationStatements(settings)
        self._restoration: Final = RestorationStatements(settings)
        self.outbox: Final = OutboxMover(settings)
        self._open: Workers | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def _read(self, read: Read[_Result]) -> _Result:
        return await self._opened().readers.run(read)

    async def _write_once(self, write: Read[_Result]) -> _Result:
        return await self._opened().readers.run_once(write)

    def _opened(self) -> Workers:
        opened = self._open
        if opened is None:
            raise StorageClosedError(_CLOSED)
        self._check_process()
        if opened.loop is not asyncio.get_running_loop():
            raise opened.wrong_loop()
        return opened

    def _mine(self) -> Workers | None:
        """Return the workers if they are of this event loop; those of a closed one are let go.

        Raises:
            ConfigurationError: they are of another, which was not closed.
        """
        opened = self._open
        if opened is not None and opened.loop is not asyncio.get_running_loop():
            if not opened.loop.is_closed():
                raise opened.wrong_loop()
            opened.abandon()
            self._open = None
        return self._open

    def _check_process(self) -> None:
        if self._open is not None and self._open.process != os.getpid():
            raise ForkedProcessError(
                f"{self.settings.where}: the storage was opened in process "
                f"{self._open.process} and this one, {os.getpid()}, was forked from it. "
                f"Connections don't survive a fork; make a new PostgresStorage here.",
                where=self.settings.where,
            )

    def _collection(self, name: str) -> Collection:
        collection = self._collections.get(name)
        if collection is None:
            raise ConfigurationError(
                f"The collection {name!r} was not prepared; call prepare_collections first."
            )
        return collection

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]
