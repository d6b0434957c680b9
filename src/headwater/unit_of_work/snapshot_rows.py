"""Snapshots as stored: rows of an internal collection, one for each stream that has one."""

from collections.abc import Collection
from typing import Final

import msgspec

from headwater.errors import ConflictError
from headwater.ports.changes import Changes, RowChange
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.serialization.personal import for_subjects
from headwater.unit_of_work.stream_reading import Mark

SNAPSHOTS: Final = CollectionSpec(
    "headwater_snapshots", ("snapshot_version", "code", "version", "event_id", "state")
)
"""The collection of all snapshots; a row's key is the id of the stream."""


class Snapshot(msgspec.Struct, frozen=True):
    """The state of a stream at `version`, written by code with `snapshot_version` and `code`."""

    snapshot_version: int
    code: str
    version: int
    event_id: str
    state: msgspec.Raw

    @property
    def at(self) -> Mark:
        """The place in the stream that the state stands for."""
        return Mark(self.version, bytes.fromhex(self.event_id))

    @property
    def text(self) -> str:
        """The state as JSON text."""
        return bytes(self.state).decode()


class SnapshotRow(msgspec.Struct, frozen=True):
    """A row, None in it if what it holds is no snapshot; `row_version` 0: there is no row."""

    snapshot: Snapshot | None
    row_version: int
    data: str | None = None


NO_ROW: Final = SnapshotRow(None, 0)


class SnapshotRows:
    """Reads and writes the snapshots in *storage*."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._prepared = False

    async def prepare(self) -> None:
        """Make room in the storage; again, it does nothing."""
        if not self._prepared:
            await self._storage.prepare_collections([SNAPSHOTS])
            self._prepared = True

    async def read(self, stream_id: str) -> SnapshotRow:
        """Return the row of a stream."""
        await self.prepare()
        row = (await self._storage.get_rows(SNAPSHOTS.name, (stream_id,))).get(stream_id)
        if row is None:
            return NO_ROW
        try:
            return SnapshotRow(_decode(row.data), row.version, row.data)
        except (msgspec.MsgspecError, ValueError):
            return SnapshotRow(None, row.version, row.data)

    async def write(
        self,
        stream_id: str,
        snapshot: Snapshot,
        *,
        subjects: Collection[str],
        over: SnapshotRow,
        keep: bool,
    ) -> bool:
        """Put *snapshot* in the place of *over*; return False if that was replaced meanwhile.

        Nobody can read it any more once one of *subjects* was forgotten. With *keep* what was
        there is kept beside it, under the stream's id and its row version.
        """
        data = for_subjects(msgspec.json.encode(snapshot).decode(), subjects)
        rows = [RowChange(SNAPSHOTS.name, stream_id, data, expected=over.row_version)]
        if keep and over.data is not None:
            aside = f"{stream_id}@{over.row_version}"
            rows.append(RowChange(SNAPSHOTS.name, aside, for_subjects(over.data, subjects)))
        try:
            await self._storage.commit(Changes(rows=tuple(rows)))
        except ConflictError:
            return False
        return True

    async def delete(self, stream_id: str, row: SnapshotRow) -> None:
        """Delete *row* if there is one, unless it was replaced meanwhile."""
        if not row.row_version:
            return
        change = RowChange(SNAPSHOTS.name, stream_id, None, expected=row.row_version)
        try:
            await self._storage.commit(Changes(rows=(change,)))
        except ConflictError:
            return


def snapshot_removal(stream_id: str) -> RowChange:
    """Return the change that deletes a stream's snapshot, to commit with its tombstone.

    The collection must have been prepared.
    """
    return RowChange(SNAPSHOTS.name, stream_id, None)


_decode = msgspec.json.Decoder(Snapshot).decode
