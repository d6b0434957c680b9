"""Writing a log as another storage had it: what an import needs and nobody else should use."""

from collections.abc import Sequence
from typing import Protocol

from headwater.ports.log import StoredEvent, StreamInfo


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
        had been erased. *head* is at least the last position, and becomes the head.

        Each of *streams* becomes what its information says: its version is raised to that one,
        its events below `first_version` are erased (0: all are), and its state is set. They see
        the *events* of the same call. A state STAGED where nothing can be staged becomes OPEN.

        Readers are woken as by a commit. Nobody else should be writing: an append that comes
        in between takes a position, and the next call is refused.

        Raises:
            RestoreConflictError: *events*, *head* or *streams* don't go with what is there or
                with each other.
            InvalidNameError: a stream id can't be one.
            StorageError: the storage itself failed; nothing was written.
        """
        ...
