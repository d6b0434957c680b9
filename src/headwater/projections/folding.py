"""Folds one event into one row: the projection's method, and what must hold of what it returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from headwater.domain.read_model import ReadModel
from headwater.errors import LimitExceededError, ProjectionKeyError, RowMissingError
from headwater.ports.rows import ROWS_MAX, Comparison, Row
from headwater.ports.storage import Storage
from headwater.projections.happened import Happened
from headwater.projections.projection import Folds, Projection
from headwater.unit_of_work.row_type import Filter, RowType, key_text

M = TypeVar("M", bound=ReadModel)

ALL_ROWS: Final = "(all rows)"
"""The key of all events of a projection of which some are for each row that has a value: none of
them may overtake another."""

EACH_ROWS_MAX: Final = ROWS_MAX
"""One event may be for fewer rows than this."""


class Folding(Generic[M]):
    """A projection's methods at work on the rows of its read model.

    `key_of` gives the key whose events stay in order: that of the row, or one for all rows.
    """

    def __init__(self, projection: Projection[M], folds: Folds, type: RowType[M]) -> None:
        self.projection, self.folds, self.type = projection, folds, type
        # Of every event that is read.
        self.key_of: Final = self._one_key if folds.each else folds.key_of

    def _one_key(self, _: Happened) -> str:
        return ALL_ROWS

    def fold(self, arrival: Happened, key: str, before: M | None) -> M | None:
        """Return the row under *key* after *arrival*, which was *before*; None: there is none.

        Raises:
            RowMissingError: there was none, and the projection's method needs one.
            ProjectionKeyError: the row has another key.
        """
        fold = self.folds[type(arrival.payload)]
        if before is None and fold.row_required:
            stored = arrival.stored
            name = type(self.projection).__qualname__
            raise RowMissingError(name, stored.type, key, stored.position)
        event: Any = arrival.recorded if fold.recorded else arrival.payload
        after: M | None = fold.function(self.projection, event, before)
        if after is not None and not self.type.has_key(after, key):
            raise ProjectionKeyError(fold.name, expected=key, actual=self.type.key_of(after))
        return after

    def keys_of(self, arrival: Happened, rows: Iterable[M | None]) -> Sequence[str]:
        """Return the keys of the rows that *arrival* is applied to, among *rows* as they are now.

        Where it has one row of its own, that need not be among them.
        """
        fold = self.folds[type(arrival.payload)]
        value = fold.key(fold.taken(arrival))
        if fold.each is None:
            return (key_text(value),)
        field, key_of = fold.each, self.type.key_of
        return sorted(
            key_of(row) for row in rows if row is not None and getattr(row, field) == value
        )


async def stored_rows(
    folding: Folding[Any], target: Storage, arrivals: Sequence[Happened]
) -> Mapping[str, Row]:
    """Return the stored rows that any of *arrivals* may be applied to, by key.

    Raises:
        LimitExceededError: one is for more than `EACH_ROWS_MAX` rows.
    """
    keys: dict[str, None] = {}
    found: dict[str, Row] = {}
    for fold, value in {
        (fold, fold.key(fold.taken(arrival))): None
        for arrival in arrivals
        for fold in (folding.folds[type(arrival.payload)],)
    }:
        if fold.each is None:
            keys[key_text(value)] = None
            continue
        having = (Filter(fold.each, Comparison.EQUAL, value),)
        query = folding.type.query(having, order_by=(), limit=EACH_ROWS_MAX, offset=0)
        rows = await target.find_rows(folding.type.name, query)
        if len(rows) == EACH_ROWS_MAX:
            what = f"rows with {fold.each} {value!r} for one event of {fold.name}"
            raise LimitExceededError(what, limit=EACH_ROWS_MAX - 1, actual=len(rows))
        found.update((row.key, row) for row in rows)
    return {**found, **await target.get_rows(folding.type.name, tuple(keys))}
