"""Runs a projection: folds each partition's events into rows and commits them together."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from headwater.domain.read_model import ReadModel
from headwater.errors import ProjectionKeyError, RowMissingError
from headwater.ports.changes import Changes, CheckpointMove, RowChange, RowGuard
from headwater.ports.rows import Row
from headwater.ports.storage import Storage
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
        self._projection, self._folds = projection, folds
        self._type, self._target = rows, target
        self._stored: Mapping[str, Row] = {}

    def key_of(self, arrival: Arrival) -> str:
        """Return the key of the row that *arrival* belongs to."""
        return self._folds.key_of(arrival)

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Read the rows that a page belongs to."""
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

    def _work_batch(self, batch: Sequence[Arrival]) -> tuple[tuple[RowChange, ...], Worked]:
        rows, worked = self._fold_all(batch)
        changes: tuple[RowChange, ...] | None = None
        while changes is None:
            try:
                changes = self._changes(rows)
            except _UnwritableRowError as unwritable:
                # What made the row unwritable is its last event so far; stop before that one.
                done = max(n for n in range(worked.done) if batch[n].key == unwritable.key)
                rows, _ = self._fold_all(_before(batch, done))
                worked = Worked(done, unwritable.reason)
        return changes, worked

    def _fold_all(self, batch: Sequence[Arrival]) -> tuple[dict[str, M | None], Worked]:
        rows: dict[str, M | None] = {}
        done = 0
        try:
            for arrival in batch:
                key = arrival.key
                rows[key] = self.fold(arrival, rows[key] if key in rows else self._row(key))
                done += 1
        except Exception as error:  # noqa: BLE001 - the end of a delivery: told in the status
            whole = _before(batch, done)
            if len(whole) < done:
                rows, _ = self._fold_all(whole)
            return rows, Worked(done, error)
        return rows, Worked(done)

    def _changes(self, rows: Mapping[str, M | None]) -> tuple[RowChange, ...]:
        changes: list[RowChange] = []
        for key, row in rows.items():
            stored = self._stored.get(key)
            # Compared too, not only the checkpoint: after a rebuild that stands at the same
            # place again, and what was folded from a row from before must not be written.
            expected = 0 if stored is None else stored.version
            if row is not None:
                try:
                    changes.append(self._type.written(row, expected=expected))
                except Exception as error:
                    raise _UnwritableRowError(key, error) from error
            elif stored is not None:
                changes.append(RowChange(self._type.name, key, None, expected=expected))
        return tuple(changes)

    def _row(self, key: str) -> M | None:
        stored = self._stored.get(key)
        return self._type.decode(stored) if stored is not None else None

    def fold(self, arrival: Arrival, before: M | None) -> M | None:
        """Return the row after *arrival*, which was *before*; None: there is none.

        Raises:
            RowMissingError: there was none, and the projection's method needs one.
            ProjectionKeyError: the row has another key than the event's.
        """
        fold = self._folds[type(arrival.payload)]
        if before is None and fold.row_required:
            raise RowMissingError(
                type(self._projection).__qualname__,
                arrival.stored.type,
                arrival.key,
                arrival.stored.position,
            )
        event: Any = arrival.recorded if fold.recorded else arrival.payload
        after: M | None = fold.function(self._projection, event, before)
        if after is not None and self._type.key_of(after) != arrival.key:
            raise ProjectionKeyError(
                fold.name, expected=arrival.key, actual=self._type.key_of(after)
            )
        return after


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
