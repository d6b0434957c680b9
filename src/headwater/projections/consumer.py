"""Runs a projection: folds each partition's events into rows and commits them together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from headwater.domain.read_model import ReadModel
from headwater.ports.changes import Changes, CheckpointMove, RowChange, RowGuard
from headwater.ports.rows import Row
from headwater.ports.storage import Storage
from headwater.projections.folding import Folding, stored_rows
from headwater.projections.projection import Folds, Projection
from headwater.subscriptions.subscription import Arrival, Batch, Outcome, Worked
from headwater.unit_of_work.row_type import RowType

M = TypeVar("M", bound=ReadModel)


class ProjectionConsumer(Generic[M]):
    """Folds events into the rows of one read model, which live in *target*.

    A page's rows are read at once, and committed at once with its checkpoints, so each event
    changes its row exactly once.
    """

    def __init__(
        self, projection: Projection[M], *, folds: Folds, rows: RowType[M], target: Storage
    ) -> None:
        self.folding = Folding(projection, folds, rows)
        self._each = folds.each
        self._type, self._target = rows, target
        self._stored: Mapping[str, Row] = {}
        self._last: dict[str, int] = {}

    together = True
    keyed_by_stream = False

    def key_of(self, arrival: Arrival) -> str:
        """Return the key of the row that *arrival* belongs to; see `Folding`."""
        return self.folding.key_of(arrival)

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Read the rows that a page belongs to."""
        if self._each:
            self._stored = await stored_rows(self.folding, self._target, arrivals)
            return
        keys = tuple({arrival.key: None for arrival in arrivals})
        self._stored = await self._target.get_rows(self._type.name, keys)

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Fold the batches; commit all rows and checkpoints as they are after what succeeded."""
        changes: list[RowChange] = []
        moves: list[CheckpointMove] = []
        guards: dict[RowGuard, None] = {}
        outcomes: list[Worked] = []
        for batch in batches:
            rows, worked = self._work_batch(batch.arrivals)
            changes += rows
            advance = batch.advance(worked)
            changes += advance.rows
            moves += advance.checkpoints
            guards.update(dict.fromkeys(advance.guards))
            outcomes.append(worked)
        try:
            if moves or changes:
                await self._target.commit(
                    Changes(
                        guards=tuple(guards),
                        rows=tuple(changes),
                        checkpoints=tuple(moves),
                    )
                )
        except Exception as error:  # noqa: BLE001 - the runner decides what it means
            return [error] * len(batches)
        return outcomes

    async def tried(self, arrivals: Sequence[Arrival]) -> tuple[Sequence[RowChange], Worked]:
        """Return the rows that *arrivals* make, which are not written, and how far that came."""
        await self._target.prepare_collections([self._type.spec])
        await self.prepare(arrivals)
        return self._work_batch(arrivals)

    def _work_batch(self, batch: Sequence[Arrival]) -> tuple[tuple[RowChange, ...], Worked]:
        rows, worked = self._fold_all(batch)
        changes: tuple[RowChange, ...] | None = None
        while changes is None:
            try:
                changes = self._changes(rows)
            except _UnwritableRowError as unwritable:
                # What made the row unwritable is its last event so far; stop before that one.
                done = self._last_of(batch[: worked.done], unwritable.key)
                rows, _ = self._fold_all(_before(batch, done))
                worked = Worked(done, unwritable.reason)
        return changes, worked

    def _fold_all(self, batch: Sequence[Arrival]) -> tuple[dict[str, M | None], Worked]:
        rows: dict[str, M | None] = {}
        fold, stored, decode = self.folding.fold, self._stored, self._type.decode
        done = 0
        try:
            for arrival in batch:
                if self._each:
                    self._fold_each(arrival, rows, done)
                else:
                    key = arrival.key
                    if key in rows:
                        before = rows[key]
                    else:
                        row = stored.get(key)
                        before = decode(row) if row is not None else None
                    rows[key] = fold(arrival, key, before)
                done += 1
        except Exception as error:  # noqa: BLE001 - the end of a delivery: told in the status
            whole = _before(batch, done)
            if self._each or len(whole) < done:
                rows, _ = self._fold_all(whole)
            return rows, Worked(done, error)
        return rows, Worked(done)

    def _fold_each(self, arrival: Arrival, rows: dict[str, M | None], number: int) -> None:
        """Fold *arrival*, the one of *number* in its batch, into each row that it belongs to."""
        for key in self.folding.keys_of(arrival, self._known_rows(rows)):
            before = rows[key] if key in rows else self._row(key)
            rows[key] = self.folding.fold(arrival, key, before)
            self._last[key] = number

    def _known_rows(self, rows: Mapping[str, M | None]) -> Iterator[M | None]:
        yield from rows.values()
        for key in self._stored.keys() - rows.keys():
            yield self._row(key)

    def _last_of(self, batch: Sequence[Arrival], key: str) -> int:
        """Return the number of the last one in *batch* that has changed the row under *key*."""
        if self._each:
            return self._last[key]
        return max(n for n, arrival in enumerate(batch) if arrival.key == key)

    def _changes(self, rows: Mapping[str, M | None]) -> tuple[RowChange, ...]:
        changes: list[RowChange] = []
        for key, row in rows.items():
            stored = self._stored.get(key)
            # Compared too, not only the checkpoint: after a rebuild that stands at the same
            # place again, and what was folded from a row from before must not be written.
            expected = 0 if stored is None else stored.version
            if row is not None:
                try:
                    changes.append(self._type.written(row, expected=expected, key=key))
                except Exception as error:
                    raise _UnwritableRowError(key, error) from error
            elif stored is not None:
                changes.append(RowChange(self._type.name, key, None, expected=expected))
        return tuple(changes)

    def _row(self, key: str) -> M | None:
        stored = self._stored.get(key)
        return self._type.decode(stored) if stored is not None else None


def _before(batch: Sequence[Arrival], failed: int) -> Sequence[Arrival]:
    """Return what comes before the stored event of which the arrival at *failed* was made."""
    position = batch[failed].stored.position
    begun = failed
    while begun and batch[begun - 1].stored.position == position:
        begun -= 1
    return batch[:begun]


class _UnwritableRowError(Exception):
    def __init__(self, key: str, reason: Exception) -> None:
        self.key, self.reason = key, reason
