"""The methods that change streams, for whoever has a storage."""

from abc import ABC, abstractmethod

from headwater.ports.changes import StreamAction, StreamChange


class StreamKeeper(ABC):
    """Archives, restores, truncates and tombstones streams.

    Each is recorded with *reason* (1 to 1,000 characters) and *actor* (by default that of the
    current message context) as an internal event of the stream ``$streams-<stream id>``, in the
    same commit; the position of that record is returned. What is so already is recorded again
    and changes nothing. All raise `InvalidNameError` for what can't be a stream id, and
    `ConfigurationError` for internal streams and an empty or overlong reason.
    """

    async def archive(self, stream_id: str, *, reason: str, actor: str | None = None) -> int:
        """Close a stream: it takes no more events, and readers of the log pass over it.

        It can still be read as a stream, and be restored.

        Raises:
            StreamClosedError: it is tombstoned.
        """
        return await self._change(StreamChange(stream_id, StreamAction.ARCHIVE), reason, actor)

    async def restore(self, stream_id: str, *, reason: str, actor: str | None = None) -> int:
        """Open an archived stream again.

        Subscriptions that have passed its events meanwhile don't go back for them.

        Raises:
            StreamClosedError: it is tombstoned.
        """
        return await self._change(StreamChange(stream_id, StreamAction.RESTORE), reason, actor)

    async def truncate(
        self, stream_id: str, *, before_version: int, reason: str, actor: str | None = None
    ) -> int:
        """Erase a stream's events below *before_version* for ever; its version stays.

        An aggregate of it is then loaded from what is left, which must be enough: write an
        event with all of its state first. Rebuilds don't see erased events either.

        Raises:
            ConfigurationError: *before_version* is below 2, or above the stream's version + 1,
                with which all events would go and the stream could go on.
        """
        change = StreamChange(stream_id, StreamAction.TRUNCATE, before_version)
        return await self._change(change, reason, actor)

    async def tombstone(self, stream_id: str, *, reason: str, actor: str | None = None) -> int:
        """Erase all events of a stream for ever, and let it take none ever again."""
        return await self._change(StreamChange(stream_id, StreamAction.TOMBSTONE), reason, actor)

    @abstractmethod
    async def _change(self, change: StreamChange, reason: str, actor: str | None) -> int:
        """Commit *change* with its record."""
