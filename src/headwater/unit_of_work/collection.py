"""Collections: read models by key, or found by their indexed fields; written within a unit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from headwater.domain.read_model import ReadModel
from headwater.errors import LimitExceededError, UnitOfWorkError
from headwater.operations.projections.generations import MOVED_KEY
from headwater.ports.changes import RowChange
from headwater.ports.rows import Comparison
from headwater.unit_of_work.live_rows import LiveRows
from headwater.unit_of_work.pending_rows import PendingRows
from headwater.unit_of_work.row_type import Filter, Key, key_text

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=ReadModel)

FIND_ROWS_MAX: Final = 1000
"""The most rows that `Collection.find` returns when it is given no limit."""


class Collection(Generic[M]):
    """The rows of one read model.

    `get` sees what this unit of work has written; `find` and `count` see committed rows only.
    What was read by `get` is compared at the commit, and a difference reruns the handler.
    """

    def __init__(self, rows: LiveRows[M], pending: PendingRows | None) -> None:
        self._type, self._rows, self._pending = rows.type, rows, pending

    async def get(self, key: Key) -> M | None:
        """Return the row under *key*, None if there is none."""
        text = key_text(key)
        pending = self._pending
        written = pending.pending(self._rows.collection, text) if pending else None
        if written is not None:
            return self._type.decode_data(written.data) if written.data is not None else None
        collection, row = await self._rows.get(text)
        if pending is not None:
            pending.was_read(collection, text, row.version if row else 0)
            self._stays_live(pending, collection)
        return self._type.decode(row) if row else None

    async def find(
        self,
        *filters: Filter,
        order_by: str | Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
        **equal: Any,
    ) -> list[M]:
        """Return committed rows for which all conditions hold.

        ``await summaries.find(where("total") > 100, customer_id="7", order_by="-total")``.
        Fields must be indexed; ties and the default order go by key. Without *limit* all rows
        come, and more than `FIND_ROWS_MAX` are an error: read those in pages.

        Raises:
            LimitExceededError: no *limit* was given, and there are too many rows.
            ConfigurationError: a field is not indexed.
            ValueError: *limit* is not in 1 … `ROWS_MAX`, or *offset* is negative.
        """
        order = (order_by,) if isinstance(order_by, str) else order_by
        query = self._type.query(
            (*filters, *_equalities(equal)),
            order_by=order,
            limit=FIND_ROWS_MAX + 1 if limit is None else limit,
            offset=offset,
        )
        found = await self._rows.find(query)
        if limit is None and len(found) > FIND_ROWS_MAX:
            raise LimitExceededError(
                f"{self._type.model.__name__} rows found without a limit (give limit= and offset=)",
                limit=FIND_ROWS_MAX,
                actual=len(found),
            )
        return [self._type.decode(row) for row in found]

    async def count(self, *filters: Filter, **equal: Any) -> int:
        """Return how many committed rows meet all conditions."""
        return await self._rows.count(self._type.conditions((*filters, *_equalities(equal))))

    def put(self, row: M) -> None:
        """Write *row* under its key when the unit of work commits.

        Raises:
            UnitOfWorkError: outside a unit of work, or in one that only reads.
        """
        self._write(self._type.written(row, expected=None))

    def delete(self, key: Key) -> None:
        """Delete the row under *key*, if there is one, when the unit of work commits."""
        self._write(RowChange(self._type.name, key_text(key), None))

    def _write(self, change: RowChange) -> None:
        writer, collection = self._writer(), self._rows.collection
        if collection != change.collection:
            change = msgspec.structs.replace(change, collection=collection)
        writer.write(change)
        self._stays_live(writer, collection)

    def _stays_live(self, pending: PendingRows, collection: str) -> None:
        if self._rows.computed:
            pending.was_read(collection, MOVED_KEY, 0)

    def _writer(self) -> PendingRows:
        if self._pending is None:
            raise UnitOfWorkError(
                f"{self._type.model.__name__} rows are written within a unit of work on their own "
                f"storage; this collection was taken outside of one and only reads."
            )
        return self._pending


def _equalities(equal: "Mapping[str, Any]") -> tuple[Filter, ...]:
    return tuple(Filter(field, Comparison.EQUAL, value) for field, value in equal.items())
