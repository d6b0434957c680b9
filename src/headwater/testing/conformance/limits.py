"""What is found by an index may have a named number of bytes, and one more is refused."""

from collections.abc import Callable

import pytest

from headwater.errors import LimitExceededError
from headwater.ports.changes import Changes
from headwater.ports.limits import INDEXED_BYTES_MAX, ROW_KEY_BYTES_MAX, TAG_BYTES_MAX
from headwater.ports.log import LogFilter
from headwater.ports.rows import CollectionSpec, Comparison, Condition, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    keys_found,
    new_event,
    positions,
    row,
    writing,
)
from headwater.testing.conformance.suite import StorageSuite

FIELDS = (
    IndexedField("name", IndexKind.TEXT),
    IndexedField("email", IndexKind.TEXT, unique=True),
    IndexedField("photo", IndexKind.BYTES),
)
PEOPLE = CollectionSpec("people", ("id",), FIELDS)


def text_of(bytes_: int) -> str:
    """Return a text of so many bytes that does not compress well, and is not all ASCII."""
    numbers = "".join(chr(0x100 + number * 7919 % 0x600) for number in range(bytes_ // 2))
    return numbers + "x" * (bytes_ - len(numbers.encode()))


def tagged(bytes_: int) -> Changes:
    """Return an event with a tag of that length."""
    return appending("order-1", new_event(tags=(text_of(bytes_),)))


def keyed(bytes_: int) -> Changes:
    """Return a row with a key of that length."""
    return writing(row("people", text_of(bytes_), None, None, None))


def named(bytes_: int) -> Changes:
    """Return a row with an indexed text of that length, below the longest key there may be."""
    key = text_of(ROW_KEY_BYTES_MAX)
    return writing(row("people", key, text_of(bytes_), None, None))


def unique(bytes_: int) -> Changes:
    """Return a row with a unique text of that length."""
    return writing(row("people", "1", None, text_of(bytes_), None))


def with_bytes(bytes_: int) -> Changes:
    """Return a row with indexed bytes of that length, below the longest key there may be."""
    key = text_of(ROW_KEY_BYTES_MAX)
    return writing(row("people", key, None, None, text_of(bytes_).encode()))


class LimitsConformance(StorageSuite):
    """The limits of `headwater.ports.limits`."""

    @pytest.mark.parametrize(
        ("changes", "limit"),
        [
            (tagged, TAG_BYTES_MAX),
            (keyed, ROW_KEY_BYTES_MAX),
            (named, INDEXED_BYTES_MAX),
            (unique, INDEXED_BYTES_MAX),
            (with_bytes, INDEXED_BYTES_MAX),
        ],
    )
    async def test_so_many_bytes_are_stored_and_one_more_is_refused(
        self, storage: Storage, changes: Callable[[int], Changes], limit: int
    ) -> None:
        await storage.prepare_collections([PEOPLE])

        with pytest.raises(LimitExceededError) as refusal:
            await storage.commit(changes(limit + 1))
        assert (refusal.value.limit, refusal.value.actual) == (limit, limit + 1)
        assert (await storage.head(), await storage.count_rows("people")) == (0, 0)

        await storage.commit(changes(limit))

    async def test_what_is_as_long_as_it_may_be_is_found(self, storage: Storage) -> None:
        await storage.prepare_collections([PEOPLE])
        key, name, tag = (text_of(n) for n in (ROW_KEY_BYTES_MAX, INDEXED_BYTES_MAX, TAG_BYTES_MAX))
        await storage.commit(writing(row("people", key, name, name, None)))
        await storage.commit(appending("order-1", new_event(tags=(tag,))))

        assert await keys_found(storage, "people", Condition("name", Comparison.EQUAL, name)) == [
            key
        ]
        assert await positions(storage, LogFilter(tags=frozenset({tag}))) == [1]
