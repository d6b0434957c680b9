"""What all parts of a storage work with: its settings, statements and connections."""

from typing import Final, TypeVar

from headwater.adapters.opening import Opening
from headwater.adapters.storage.postgres.administration import AdministrationStatements
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.connections import Read
from headwater.adapters.storage.postgres.leases import LeaseStatements
from headwater.adapters.storage.postgres.log import LogStatements
from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.restoration import RestorationStatements
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.streams import StreamStatements
from headwater.adapters.storage.postgres.subscriptions import SubscriptionStatements
from headwater.adapters.storage.postgres.workers import Workers
from headwater.clock import Clock, SystemClock

SYSTEM_CLOCK: Final = SystemClock()

_Result = TypeVar("_Result")


class OpenedStorage(Opening[Workers, Collection]):
    """The part of a storage that has the statements, and lends its connections."""

    def __init__(self, settings: PostgresSettings | str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Use the schema that *settings*, or a URL, name; nothing is done before `open`."""
        super().__init__()
        if isinstance(settings, str):
            settings = PostgresSettings.from_url(settings)
        self.settings: Final = settings
        self._clock: Final = clock
        self._log: Final = LogStatements(settings.quoted_schema)
        self._streams: Final = StreamStatements(settings.quoted_schema)
        self._subscriptions: Final = SubscriptionStatements(settings)
        self._leases: Final = LeaseStatements(settings)
        self._administration: Final = AdministrationStatements(settings)
        self._restoration: Final = RestorationStatements(settings)
        self.outbox: Final = OutboxMover(settings)

    async def _read(self, read: Read[_Result]) -> _Result:
        return await self._opened().readers.run(read)

    async def _write_once(self, write: Read[_Result]) -> _Result:
        return await self._opened().readers.run_once(write)

    def _where(self) -> str:
        return self.settings.where
