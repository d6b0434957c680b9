"""Snapshots as stored: rows of an internal collection, one for each stream that has one."""

from collections.abc import Collection
from typing import Final

import msgspec

from headwater.errors import ConflictError
from headwater.operations.snapshots import SNAPSHOTS, kept_aside, removed_snapshots
from headwater.ports.changes import Changes, RowChange
from headwater.ports.storage import Storage
from headwater.serialization.personal import for_subjects
from headwater.unit_of_work.stream_reading import Mark


class StateSnapshot(msgspec.Struct, frozen=True):
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

    snapshot: StateSnapshot | None
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
            snapshot = _decode(row.data)
            bytes.fromhex(snapshot.event_id)
            return SnapshotRow(snapshot, row.version, row.data)
        except (msgspec.MsgspecError, ValueError):
            return SnapshotRow(None, row.version, row.data)

    async def write(
        self,
        stream_id: str,
        snapshot: StateSnapshot,
        *,
        subjects: Collection[str],
        over: SnapshotRow,
        keep: bool,
    ) -> bool:
        """Put *snapshot* in the place of *over*; return False if that was replaced meanwhile.

        Nobody can read it any more once one of *subjects* was forgotten. With *keep* what was
        there is kept beside it, unless something is already.
        """
        data = for_subjects(msgspec.json.encode(snapshot).decode(), subjects)
        rows = [RowChange(SNAPSHOTS.name, stream_id, data, expected=over.row_version)]
        if keep and over.data is not None:
            key = kept_aside(stream_id)
            if not await self._storage.get_rows(SNAPSHOTS.name, (key,)):
                aside = for_subjects(over.data, subjects)
                rows.append(RowChange(SNAPSHOTS.name, key, aside, expected=0))
        try:
            await self._storage.commit(Changes(rows=tuple(rows)))
        except ConflictError:
            return False
        return True

    async def delete(self, stream_id: str) -> None:
        """Delete what there is of a stream that has no events and will have none."""
        rows = await removed_snapshots(self._storage, stream_id)
        await self._storage.commit(Changes(rows=rows))


_decode = msgspec.json.Decoder(StateSnapshot).decode
