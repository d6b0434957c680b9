"""In which order rows are written, so that none takes a unique value before another gives it up."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from headwater.domain.read_model import ReadModel
from headwater.unit_of_work.row_type import RowType

M = TypeVar("M", bound=ReadModel)


def writable_order(
    type: RowType[M], before: Mapping[str, M | None], after: Mapping[str, M | None]
) -> Iterable[str]:
    """Return the keys of *after* so that who had a unique value comes before who gets it.

    Rows that give each other theirs have no such order: a storage refuses one of them.
    """
    fields = [field.name for field in type.spec.indexed if field.unique]
    if not fields:
        return after
    held = {
        (field, getattr(row, field)): key
        for key, row in before.items()
        for field in fields
        if row is not None
    }
    waits_for = {
        key: {
            holder
            for field in fields
            if (holder := held.get((field, getattr(row, field)), key)) != key
        }
        if row is not None
        else set[str]()
        for key, row in after.items()
    }
    try:
        return tuple(TopologicalSorter(waits_for).static_order())
    except CycleError:
        return after
