"""Compares the rows of two generations of a projection."""

from collections import Counter
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

KEYS_KEPT_MAX: Final = 10_000
"""How many keys under which rows differ are remembered at most."""

_PAGE_ROWS: Final = 5000


class ChangedRow(msgspec.Struct, frozen=True):
    """A row that both have, and the fields in which it differs: before and after, as JSON."""

    key: str
    fields: Mapping[str, tuple[Any, Any]]


class RowDifferences(msgspec.Struct, frozen=True):
    """How the rows *before* (the live ones) and *after* (those built beside) differ.

    `missing` are in *before* only, `added` in *after* only. The samples are the first
    `SAMPLES_MAX` by key; `keys` are the first `KEYS_KEPT_MAX` of all that differ.
    """

    same: int = 0
    changed: int = 0
    missing: int = 0
    added: int = 0
    changed_samples: tuple[ChangedRow, ...] = ()
    missing_samples: tuple[str, ...] = ()
    added_samples: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

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
    tally = _Tally()
    seen = 0
    async for key, one, other in _pairs(storage, before, after):
        tally.add(key, one, other)
        seen += 1
        if seen % _PAGE_ROWS == 0:
            progress(min(seen, total), total)
    progress(total, total)
    return tally.result()


async def second_look(
    storage: Storage, before: str, after: str, found: RowDifferences
) -> RowDifferences:
    """Compare again the rows that were *found* to differ, as they are now.

    For rows that are written meanwhile: what the one has already and the other not yet is no
    difference.
    """
    differing = found.changed + found.missing + found.added
    if not found.keys or differing > len(found.keys):
        return found
    tally = _Tally()
    for start in range(0, len(found.keys), _PAGE_ROWS):
        keys = found.keys[start : start + _PAGE_ROWS]
        left = await storage.get_rows(before, keys)
        right = await storage.get_rows(after, keys)
        for key in keys:
            tally.add(key, left.get(key), right.get(key))
    again = tally.result()
    return msgspec.structs.replace(again, same=found.same + again.same)


class _Tally:
    """Counts what is the same and what differs."""

    def __init__(self) -> None:
        self._same = 0
        self._changed: list[ChangedRow] = []
        self._missing: list[str] = []
        self._added: list[str] = []
        self._counts = Counter[str]()
        self._keys: list[str] = []

    def add(self, key: str, before: Row | None, after: Row | None) -> None:
        """Count the two rows under *key*."""
        if before is not None and after is not None:
            fields = _changed_fields(before.data, after.data)
            if not fields:
                self._same += 1
                return
            self._counts["changed"] += 1
            if len(self._changed) < SAMPLES_MAX:
                self._changed.append(ChangedRow(key, fields))
        elif before is not None or after is not None:
            samples = self._missing if after is None else self._added
            self._counts["missing" if after is None else "added"] += 1
            if len(samples) < SAMPLES_MAX:
                samples.append(key)
        else:
            # It was deleted from both since it was found.
            return
        if len(self._keys) < KEYS_KEPT_MAX:
            self._keys.append(key)

    def result(self) -> RowDifferences:
        """Return what was counted."""
        return RowDifferences(
            self._same,
            self._counts["changed"],
            self._counts["missing"],
            self._counts["added"],
            tuple(self._changed),
            tuple(self._missing),
            tuple(self._added),
            tuple(self._keys),
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
