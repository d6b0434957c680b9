"""Compares the rows of two generations of a projection."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.generations import MOVED_KEY
from headwater.ports.rows import Row, RowQuery
from headwater.ports.sealed import PERSONAL_HEADER
from headwater.ports.storage import Storage

SAMPLES_MAX: Final = 20
"""How many keys of each kind of difference are named at most."""

PERSONAL_SHOWN: Final = "(personal)"
"""What a sample shows of personal fields."""

_PAGE_ROWS: Final = 5000


class ChangedRow(msgspec.Struct, frozen=True):
    """A row that both have, and the fields in which it differs: before and after, as JSON."""

    key: str
    fields: Mapping[str, tuple[Any, Any]]


class RowDifferences(msgspec.Struct, frozen=True):
    """How the rows *before* (the live ones) and *after* (those built beside) differ.

    `missing` are in *before* only, `added` in *after* only. The samples are the first
    `SAMPLES_MAX` by key.
    """

    same: int = 0
    changed: int = 0
    missing: int = 0
    added: int = 0
    changed_samples: tuple[ChangedRow, ...] = ()
    missing_samples: tuple[str, ...] = ()
    added_samples: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether there is none."""
        return not (self.changed or self.missing or self.added)


async def differences(
    storage: Storage, before: str, after: str, *, progress: Progress = no_progress
) -> RowDifferences:
    """Compare all rows of the collections *before* and *after*, which nobody writes meanwhile.

    Rows are compared as JSON values; of personal fields that are read encrypted, only whose they
    are. *progress* hears of rows.
    """
    total = max(await storage.count_rows(before), await storage.count_rows(after))
    same = seen = 0
    changed: list[ChangedRow] = []
    missing: list[str] = []
    added: list[str] = []
    counts = {"changed": 0, "missing": 0, "added": 0}
    async for key, one, other in _pairs(storage, before, after):
        seen += 1
        if seen % _PAGE_ROWS == 0:
            progress(min(seen, total), total)
        if one is not None and other is not None:
            fields = _changed_fields(one.data, other.data)
            if not fields:
                same += 1
                continue
            counts["changed"] += 1
            if len(changed) < SAMPLES_MAX:
                changed.append(ChangedRow(key, fields))
        elif other is None:
            counts["missing"] += 1
            missing += [key] if len(missing) < SAMPLES_MAX else []
        else:
            counts["added"] += 1
            added += [key] if len(added) < SAMPLES_MAX else []
    progress(total, total)
    return RowDifferences(
        same,
        counts["changed"],
        counts["missing"],
        counts["added"],
        tuple(changed),
        tuple(missing),
        tuple(added),
    )


async def _pairs(
    storage: Storage, before: str, after: str
) -> AsyncIterator[tuple[str, Row | None, Row | None]]:
    """Yield each key with its rows in both, in the order of keys."""
    left, right = _rows(storage, before), _rows(storage, after)
    one, other = await anext(left, None), await anext(right, None)
    while True:
        if one is None and other is None:
            return
        if one is not None and (other is None or one.key < other.key):
            yield one.key, one, None
            one = await anext(left, None)
        elif other is not None and (one is None or other.key < one.key):
            yield other.key, None, other
            other = await anext(right, None)
        elif one is not None:
            yield one.key, one, other
            one, other = await anext(left, None), await anext(right, None)


async def _rows(storage: Storage, collection: str) -> AsyncIterator[Row]:
    offset = 0
    while True:
        page = await storage.find_rows(collection, RowQuery(limit=_PAGE_ROWS, offset=offset))
        for row in page:
            if row.key != MOVED_KEY:
                yield row
        if len(page) < _PAGE_ROWS:
            return
        offset += len(page)


def _changed_fields(before: str, after: str) -> dict[str, tuple[Any, Any]]:
    if before == after:
        return {}
    one, other = _fields(before), _fields(after)
    return {
        name: (one.get(name), other.get(name))
        if name != PERSONAL_HEADER
        else (PERSONAL_SHOWN, PERSONAL_SHOWN)
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name) or (name in one) != (name in other)
    }


def _fields(data: str) -> dict[str, Any]:
    """Return the fields of a row; of encrypted parts only whose they are and where they stand."""
    fields = _decode(data)
    for parcel in fields.get(PERSONAL_HEADER, ()):
        if parcel.get("data"):
            # Encrypted for the collection: equal parts differ.
            del parcel["data"]
            parcel.pop("key", None)
    return fields


_decode = msgspec.json.Decoder(dict[str, Any]).decode
