"""Snapshots as a storage keeps them: where they are, and how they go with their stream."""

from typing import Final

from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage

SNAPSHOTS: Final = CollectionSpec(
    "headwater_snapshots", ("snapshot_version", "code", "version", "event_id", "state")
)
"""The collection of all snapshots; a row's key is the id of the stream."""


def kept_aside(stream_id: str) -> str:
    """Return the key of a snapshot that other code has written and that may be the only source."""
    return f"{stream_id}@kept"


async def removed_snapshots(storage: Storage, stream_id: str) -> tuple[RowChange, ...]:
    """Return what deletes a stream's snapshots, to be committed with its tombstone."""
    if all(spec.name != SNAPSHOTS.name for spec in await storage.collections()):
        return ()
    # Another process may have been the first to make room, since this one opened the storage.
    await storage.prepare_collections([SNAPSHOTS])
    return tuple(RowChange(SNAPSHOTS.name, key, None) for key in (stream_id, kept_aside(stream_id)))
