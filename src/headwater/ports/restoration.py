"""Writing a log as another storage had it: what an import needs and nobody else should use."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from headwater.errors import RestoreConflictError
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.streams import check_stream_id


class Restoration(Protocol):
    """Takes over another storage's log, positions and times included.

    Its method raises `StorageClosedError` before `open` and after `close`.
    """

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """Write *events* exactly as they are, then *streams*, and set the head; all or nothing.

        *events* ascend by position and stand past the present head; their ids are new, their
        versions ascend within each stream and are past what it has, and `recorded_at` never
        falls. Positions and versions that are left out stay empty for ever, as if their events
        had been erased and pruned. *head* is at least the last position and the present head,
        and becomes the head.

        Each of *streams* becomes what its information says: its version is raised to that one,
        its events below `first_version` are erased (0: all are), and its state is set. They see
        the *events* of the same call. Where nothing can be staged, the state STAGED becomes OPEN.

        A call with *events* that comes again right after it was done does nothing: the last of
        them stands at its position then, and the head is *head*.

        Readers are woken as by a commit. Nobody else should be writing: an append that comes
        in between takes a position, and the next call is refused.

        Raises:
            RestoreConflictError: *events*, *head* or *streams* don't go with what is there or
                with each other.
            InvalidNameError: a stream id can't be one.
            StorageError: the storage itself failed; nothing was written.
        """
        ...


class Restored:
    """What stands in a call of `restore_log`, checked: first in itself, then with what is stored.

    `first` and `last` hold the versions of each stream's first and last event.

    Raises:
        RestoreConflictError: the events or the head don't go with each other.
        InvalidNameError: a stream id can't be one.
    """

    def __init__(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo]
    ) -> None:
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        position = recorded_at = 0
        ids: set[bytes] = set()
        for event in events:
            known = self.last.get(event.stream_id)
            if known is None:
                check_stream_id(event.stream_id)
                self.first[event.stream_id] = event.version
            if event.position <= position:
                raise conflict(event, f"it does not follow position {position}")
            if event.version <= (known or 0):
                raise conflict(event, f"its version {event.version} does not follow {known or 0}")
            if event.recorded_at < recorded_at:
                raise conflict(event, "it was recorded before its predecessor")
            if event.id in ids:
                raise conflict(event, "its id stands twice")
            ids.add(event.id)
            self.last[event.stream_id] = event.version
            position, recorded_at = event.position, event.recorded_at
        if head < position:
            raise RestoreConflictError(f"The head {head} is before the last event, {position}.")
        for info in streams:
            check_stream_id(info.stream_id)

    def check_stored(
        self,
        events: Sequence[StoredEvent],
        *,
        head: int,
        stored_head: int,
        recorded_at: int,
        versions: Mapping[str, int],
    ) -> None:
        """Compare the call with what is stored: the head, its time, and versions of streams.

        Raises:
            RestoreConflictError: it does not go with that.
        """
        if head < stored_head:
            raise RestoreConflictError(
                f"The head is {stored_head} already, and never falls to {head}."
            )
        if not events:
            return
        first = events[0]
        if first.position <= stored_head:
            raise conflict(first, f"the head is {stored_head} already")
        if first.recorded_at < recorded_at:
            raise conflict(first, "it was recorded before the last event that is there")
        for stream_id, version in self.first.items():
            there = versions.get(stream_id, 0)
            if version <= there:
                raise RestoreConflictError(
                    f"Stream {stream_id!r} is at version {there} already, so version {version} "
                    f"of it can't be restored."
                )


def conflict(event: StoredEvent, problem: str) -> RestoreConflictError:
    """Return the error for an event that can't be restored."""
    return RestoreConflictError(
        f"The event for position {event.position} of the log can't be restored: {problem}."
    )
