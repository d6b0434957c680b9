"""A storage in memory that counts the events that streams are read for."""

from collections.abc import Sequence

from headwater.adapters.storage.memory import MemoryStorage
from headwater.ports.log import StoredEvent, StoredPayload


class CountingStorage(MemoryStorage):
    """Counts the events that streams were read for."""

    def __init__(self) -> None:
        super().__init__()
        self.events_read = 0

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        page = await super().read_stream(
            stream_id, from_version=from_version, backwards=backwards, limit=limit
        )
        self.events_read += len(page)
        return page

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        page = await super().read_payloads(stream_id, from_version=from_version, limit=limit)
        self.events_read += len(page)
        return page

    def reads(self) -> int:
        """Return how many events were read since the last call."""
        read, self.events_read = self.events_read, 0
        return read
