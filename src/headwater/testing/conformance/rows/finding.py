"""Rows are found by indexed fields, sorted, and given out in pages."""

import math
from typing import Final

import pytest

from headwater.errors import ConfigurationError
from headwater.ports.changes import IndexValue
from headwater.ports.rows import (
    ROWS_MAX,
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    RowQuery,
)
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import keys_found, row, writing
from headwater.testing.conformance.suite import StorageSuite

THINGS = CollectionSpec(
    "things",
    ("text", "integer", "real", "bytes", "other"),
    tuple(IndexedField(kind.value, kind) for kind in IndexKind),
)

# For each kind NULL, which precedes all, and then values in ascending order.
ASCENDING: Final[dict[IndexKind, list[IndexValue]]] = {
    IndexKind.TEXT: [None, "", " ", "A", "B", "a", "a ", "aa", "b", "ä", "\uffff", "🛒"],
    IndexKind.INTEGER: [None, -(2**63), -1, 0, 1, 2, 10, 2**53, 2**53 + 1, 2**63 - 1],
    IndexKind.REAL: [None, -math.inf, -1.5, 0.0, 5e-324, 0.1, 1.0, 2.0, 1e308, math.inf],
    IndexKind.BYTES: [None, b"", b"\0", b"\0\0", b"\0\1", b"A", b"a", b"\x7f", b"\x80", b"\xff"],
}
KINDS = list(IndexKind)


def thing(key: str, kind: IndexKind, value: IndexValue) -> tuple[str, tuple[IndexValue, ...]]:
    """Return a row's key and its values: NULL but for the field of *kind*."""
    return key, tuple(value if each is kind else None for each in KINDS)


async def store(storage: Storage, kind: IndexKind) -> list[str]:
    """Store a row for each value of `ASCENDING`; return their keys in the order of the values."""
    values = ASCENDING[kind]
    # Keys that run against the values, so that an order by key is not taken for one by value.
    keys = [f"{len(values) - place:02}" for place in range(len(values))]
    things = [thing(key, kind, value) for key, value in zip(keys, values, strict=True)]
    await storage.commit(writing(*(row("things", key, *indexed) for key, indexed in things)))
    return keys


class FindingConformance(StorageSuite):
    """What `find_rows` and `count_rows` return."""

    @pytest.fixture
    async def things(self, storage: Storage) -> Storage:
        """The storage with room for things, which have an indexed field of each kind."""
        await storage.prepare_collections([THINGS])
        return storage

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("comparison", [c for c in Comparison if c is not Comparison.ONE_OF])
    async def test_rows_are_found_by_every_comparison_with_values_of_every_kind(
        self, things: Storage, kind: IndexKind, comparison: Comparison
    ) -> None:
        keys = await store(things, kind)

        for place, value in enumerate(ASCENDING[kind]):
            matching = {
                Comparison.EQUAL: keys[place : place + 1],
                Comparison.NOT_EQUAL: keys[:place] + keys[place + 1 :],
                Comparison.LESS: keys[:place],
                Comparison.LESS_OR_EQUAL: keys[: place + 1],
                Comparison.GREATER: keys[place + 1 :],
                Comparison.GREATER_OR_EQUAL: keys[place:],
            }[comparison]
            condition = Condition(kind.value, comparison, value)
            assert await keys_found(things, "things", condition) == sorted(matching)
            assert await things.count_rows("things", [condition]) == len(matching)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_rows_are_found_by_one_of_several_values(
        self, things: Storage, kind: IndexKind
    ) -> None:
        keys, values = await store(things, kind), ASCENDING[kind]

        for places in ([], [3], [0], [5, 2], [0, 4, 4, 1], list(range(len(values)))):
            condition = Condition(
                kind.value, Comparison.ONE_OF, tuple(values[place] for place in places)
            )
            matching = sorted({keys[place] for place in places})
            assert await keys_found(things, "things", condition) == matching
            assert await things.count_rows("things", [condition]) == len(matching)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_rows_are_sorted_by_value_with_null_before_all(
        self, things: Storage, kind: IndexKind
    ) -> None:
        keys = await store(things, kind)

        ascending = await keys_found(things, "things", order_by=((kind.value, False),))
        descending = await keys_found(things, "things", order_by=((kind.value, True),))

        assert ascending == keys
        assert descending == keys[::-1]

    async def test_keys_sort_by_code_point_and_are_the_default_order(self, things: Storage) -> None:
        keys = ["", " ", "-1", "10", "9", "A", "B", "a", "ä", "\uffff", "🛒"]
        await things.commit(
            writing(*(row("things", key, None, 1, None, None) for key in reversed(keys)))
        )

        assert await keys_found(things, "things") == keys
        assert await keys_found(things, "things", order_by=(("integer", True),)) == keys

    async def test_ties_are_broken_by_the_next_field_and_then_by_key(self, things: Storage) -> None:
        await things.commit(
            writing(
                row("things", "a", "x", 1, None, None),
                row("things", "b", "x", 2, None, None),
                row("things", "c", None, 2, None, None),
                row("things", "d", "y", 1, None, None),
                row("things", "e", "x", 2, None, None),
            )
        )

        for order_by, expected in (
            ((("integer", False), ("text", False)), "adcbe"),
            ((("integer", True), ("text", False)), "cbead"),
            ((("text", True), ("integer", False)), "dabec"),
            ((("integer", False),), "adbce"),
            ((("text", True),), "dabec"),
        ):
            assert await keys_found(things, "things", order_by=order_by) == list(expected)

    async def test_all_conditions_must_hold(self, things: Storage) -> None:
        for number in range(10):
            indexed = ("even" if number % 2 == 0 else "odd", number, None, None)
            await things.commit(writing(row("things", str(number), *indexed)))

        conditions = [
            Condition("text", Comparison.EQUAL, "even"),
            Condition("integer", Comparison.GREATER, 2),
            Condition("integer", Comparison.LESS_OR_EQUAL, 8),
            Condition("integer", Comparison.ONE_OF, (4, 5, 8, 9)),
        ]
        assert await keys_found(things, "things", *conditions) == ["4", "8"]
        assert await things.count_rows("things", conditions) == 2
        assert await things.count_rows("things") == 10

    async def test_a_page_of_rows_begins_at_its_offset_and_ends_at_its_limit(
        self, things: Storage
    ) -> None:
        for number in range(7):
            await things.commit(writing(row("things", str(number), None, -number, None, None)))

        for offset, limit, expected in ((0, 3, "654"), (3, 3, "321"), (6, 3, "0"), (7, 3, "")):
            query = RowQuery(order_by=(("integer", False),), offset=offset, limit=limit)
            found = await things.find_rows("things", query)
            assert "".join(each.key for each in found) == expected

    async def test_found_rows_are_the_rows_as_stored(self, things: Storage) -> None:
        await things.commit(writing(row("things", "a", "x", None, None, None, data='{"text":"x"}')))

        (found,) = await things.find_rows("things", RowQuery())

        assert await things.get_rows("things", ["a"]) == {"a": found}
        assert found.data == '{"text":"x"}'

    async def test_a_row_is_found_by_its_newest_values_only(self, things: Storage) -> None:
        for text in ("old", "new"):
            await things.commit(writing(row("things", "a", text, None, None, None)))

        for text, expected in (("old", []), ("new", ["a"])):
            condition = Condition("text", Comparison.EQUAL, text)
            assert await keys_found(things, "things", condition) == expected

    async def test_nan_is_stored_as_null(self, things: Storage) -> None:
        await things.commit(writing(row("things", "a", None, None, math.nan, None)))

        null = Condition("real", Comparison.EQUAL, None)
        assert await keys_found(things, "things", null) == ["a"]

    async def test_whole_numbers_are_found_in_a_field_of_reals(self, things: Storage) -> None:
        await things.commit(writing(row("things", "a", None, None, 3, None)))

        for value in (3, 3.0):
            equal = Condition("real", Comparison.EQUAL, value)
            assert await keys_found(things, "things", equal) == ["a"]

    async def test_text_that_looks_like_sql_or_a_pattern_is_only_text(
        self, things: Storage
    ) -> None:
        texts = ["'; DROP TABLE things; --", "%", "_", "1", "x' OR '1'='1"]
        await things.commit(
            writing(*(row("things", text, text, None, None, None) for text in texts))
        )

        for text in texts:
            equal = Condition("text", Comparison.EQUAL, text)
            assert await keys_found(things, "things", equal) == [text]

    @pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (ROWS_MAX + 1, 0), (1, -1)])
    async def test_a_limit_or_offset_out_of_range_is_refused(
        self, things: Storage, limit: int, offset: int
    ) -> None:
        with pytest.raises(ValueError, match=str(offset or limit)):
            await things.find_rows("things", RowQuery(limit=limit, offset=offset))

    async def test_one_page_can_hold_as_many_rows_as_the_named_limit_says(
        self, things: Storage
    ) -> None:
        await things.commit(
            writing(*(row("things", str(n), None, n, None, None) for n in range(ROWS_MAX + 1)))
        )

        assert len(await things.find_rows("things", RowQuery(limit=ROWS_MAX))) == ROWS_MAX
        assert await things.count_rows("things") == ROWS_MAX + 1

    @pytest.mark.parametrize("field", ["other", "nothing", "key", "text; DROP TABLE things"])
    async def test_a_field_that_is_not_indexed_cannot_be_found_or_sorted_by(
        self, things: Storage, field: str
    ) -> None:
        condition = Condition(field, Comparison.EQUAL, 1)

        with pytest.raises(ConfigurationError):
            await things.find_rows("things", RowQuery(conditions=(condition,)))
        with pytest.raises(ConfigurationError):
            await things.find_rows("things", RowQuery(order_by=((field, False),)))
        with pytest.raises(ConfigurationError):
            await things.count_rows("things", [condition])
