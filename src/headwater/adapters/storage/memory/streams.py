"""What a memory storage keeps of a stream, and of events that are not there any more."""

from bisect import bisect_left, bisect_right

import msgspec

from headwater.errors import StreamClosedError
from headwater.ports.changes import StreamAction
from headwater.ports.log import StoredEvent, StreamInfo, StreamState


class Erased(msgspec.Struct, frozen=True):
    """What stays known of an erased event, until it is pruned; `at` is when it was erased."""

    position: int
    stream_id: str
    version: int
    id: bytes
    type: str
    tags: tuple[str, ...]
    at: int


class MemoryStream:
    """The events of a stream that are there, the last of which need not be its version."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id
        self._events: list[StoredEvent] = []
        self.version = 0
        self.state = StreamState.OPEN

    @property
    def known(self) -> bool:
        """Whether anything is known of it that is not so of any other."""
        return self.version > 0 or self.state is not StreamState.OPEN

    def info(self) -> StreamInfo:
        """Return what is known of it."""
        first = self._events[0].version if self._events else 0
        return StreamInfo(self._stream_id, self.version, first, self.state)

    def add(self, event: StoredEvent) -> None:
        """Add its next event."""
        self._events.append(event)
        self.version = event.version

    def erase(self, before_version: int) -> list[StoredEvent]:
        """Take the events below a version out, and return them."""
        gone = [event for event in self._events if event.version < before_version]
        del self._events[: len(gone)]
        return gone

    def read(
        self, *, from_version: int | None, backwards: bool, limit: int
    ) -> tuple[StoredEvent, ...]:
        """Return a part of it, as `Log.read_stream` says."""
        events = self._events
        if backwards:
            end = len(events)
            if from_version is not None:
                end = bisect_right(events, from_version, key=_version_of)
            return tuple(reversed(events[max(0, end - limit) : end]))
        start = 0 if from_version is None else bisect_left(events, from_version, key=_version_of)
        return tuple(events[start : start + limit])


def _version_of(event: StoredEvent) -> int:
    return event.version


def state_after(stream_id: str, state: StreamState, action: StreamAction) -> StreamState:
    """Return what a stream in *state* is after *action*.

    Raises:
        StreamClosedError: it is tombstoned, and can't be that.
    """
    match action:
        case StreamAction.TRUNCATE:
            return state
        case StreamAction.TOMBSTONE:
            return StreamState.TOMBSTONED
        case StreamAction.ARCHIVE | StreamAction.RESTORE:
            if state is StreamState.TOMBSTONED:
                advice = "Its events are erased for good; use another stream."
                raise StreamClosedError(stream_id, state.value, advice)
            archived = action is StreamAction.ARCHIVE
            return StreamState.ARCHIVED if archived else StreamState.OPEN
