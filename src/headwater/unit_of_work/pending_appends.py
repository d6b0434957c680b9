"""Pending appends: events that one unit of work appends to streams without an aggregate."""

from collections.abc import Callable, Iterator

from headwater.errors import UnitOfWorkError
from headwater.ports.changes import Append, NewEvent
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.tracking import Sealed


class PendingAppends:
    """Appends in the order in which they were asked for, on top of those of the unit around."""

    def __init__(self, around: "PendingAppends | None" = None) -> None:
        self._around = around
        self._begun_after = len(around._appends) if around else 0
        self._appends: list[tuple[str, ExpectedVersion, list[Sealed]]] = []

    def __iter__(self) -> Iterator[tuple[str, Sealed]]:
        """Yield the events that were appended here, and not around, each with its stream."""
        for stream_id, _, events in self._appends:
            for sealed in events:
                yield stream_id, sealed

    def add(self, stream_id: str, expected: ExpectedVersion, events: list[Sealed]) -> None:
        """Collect *events* for *stream_id*."""
        self._appends.append((stream_id, expected, events))

    def events_of(self, stream_id: str) -> list[object]:
        """Return what was appended to *stream_id* here and around, and is not committed yet."""
        events = self._around.events_of(stream_id) if self._around else []
        for stream, _, sealed in self._appends:
            if stream == stream_id:
                events += [each.event for each in sealed]
        return events

    def merge(self, child: "PendingAppends") -> None:
        """Take over what *child* has collected.

        Raises:
            UnitOfWorkError: a stream was written here since *child* was made, and in it too.
        """
        since = {stream for stream, _, _ in self._appends[child._begun_after :]}
        for stream, _, _ in child._appends:
            if stream in since:
                raise UnitOfWorkError(
                    f"Stream {stream!r} was written by two handlers that ran in parallel. Publish "
                    f"sequentially, or write it in one of them."
                )
        self._appends += child._appends

    def appends(self, enclose: Callable[[Sealed], NewEvent]) -> list[Append]:
        """Return the appends with their events encoded."""
        return [
            Append(stream_id, expected, tuple([enclose(sealed) for sealed in events]))
            for stream_id, expected, events in self._appends
        ]
