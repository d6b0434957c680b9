"""The log in memory as one that can become what another log was."""

from collections.abc import Sequence

from headwater.adapters.storage.memory.log import MemoryLog
from headwater.adapters.storage.memory.streams import MemoryStream
from headwater.errors import RestoreConflictError
from headwater.ports.log import StoredEvent, StreamInfo, StreamState
from headwater.ports.restoration import Restored, conflict


class RestorableLog(MemoryLog):
    """A `MemoryLog` with `restore`."""

    def restore(
        self,
        events: Sequence[StoredEvent],
        *,
        head: int,
        streams: Sequence[StreamInfo],
        now: int,
    ) -> None:
        """Do what `Restoration.restore_log` says, or raise and do nothing."""
        restored = Restored(events, head=head, streams=streams)
        if events and head == self.head and self._id_at(events[-1].position) == events[-1].id:
            return
        restored.check_stored(
            events,
            head=head,
            stored_head=self.head,
            recorded_at=self._recorded_at,
            versions={one: self._stream(one).version for one in restored.first},
        )
        for event in events:
            if event.id in self._by_id:
                raise conflict(event, "its id is known already")
        for info in streams:
            version = restored.last.get(info.stream_id, self._stream(info.stream_id).version)
            if info.version < version:
                raise RestoreConflictError(
                    f"Stream {info.stream_id!r} is at version {version}, and never falls to "
                    f"{info.version}."
                )
        for event in events:
            self._leave_empty(event.position - 1)
            self.add((event,))
        self._leave_empty(head)
        for info in streams:
            self._restore_stream(info, now)

    def _leave_empty(self, up_to: int) -> None:
        self._events.extend([None] * (up_to - self.head))

    def _restore_stream(self, info: StreamInfo, now: int) -> None:
        stream = self._streams.setdefault(info.stream_id, MemoryStream(info.stream_id))
        for event in stream.erase(info.first_version or info.version + 1):
            self._erase(event, now)
        stream.version = info.version
        stream.state = StreamState.OPEN if info.state is StreamState.STAGED else info.state
