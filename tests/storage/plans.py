"""Random things to ask of a storage, drawn from few values so that they often meet."""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from hypothesis import strategies as st

from headwater.ports.changes import (
    Append,
    Changes,
    CheckpointMove,
    IndexValue,
    NewEvent,
    NewReceipt,
    RowChange,
    RowGuard,
    StreamAction,
    StreamChange,
    TagCondition,
)
from headwater.ports.log import LogFilter
from headwater.ports.rows import (
    CollectionSpec,
    Comparison,
    Condition,
    IndexedField,
    IndexKind,
    RowQuery,
)
from headwater.streams import ExpectedVersion

T = TypeVar("T")
TEXT, INTEGER, REAL = IndexKind.TEXT, IndexKind.INTEGER, IndexKind.REAL
STREAMS: Final = ["a-1", "a-2", "a-3", "b", "$t-1"]
TYPES: Final = ["x.made", "x.gone"]
TAGS: Final = ["t:1", "t:2", "ü"]
TENANTS: Final = ["acme", "zürich"]
KEYS: Final = ["a", "b", "c", "ä", ""]
STALE: Final = 10**9
"""A row version that no row will ever have in a test."""

FIELDS: Final = ("email", "age", "score")
AGE: Final = IndexedField("age", INTEGER)
EMAIL: Final = IndexedField("email", TEXT)
SCORE: Final = IndexedField("score", REAL)
UNIQUE_AGE: Final = IndexedField("age", INTEGER, unique=True)
UNIQUE_EMAIL: Final = IndexedField("email", TEXT, unique=True)
SPECS: Final = [
    CollectionSpec("people", FIELDS, indexed)
    for indexed in (
        (UNIQUE_EMAIL, AGE),
        (UNIQUE_EMAIL, UNIQUE_AGE, SCORE),
        (SCORE, EMAIL),
        (AGE,),
        (IndexedField("age", TEXT),),
        (),
    )
]


class PlannedRow(NamedTuple):
    """A row to write or to delete; `guard` says which version to expect: none, 0, now, stale."""

    key: str
    values: Mapping[str, IndexValue] | None
    guard: str


class Plan(NamedTuple):
    """A `Changes` that does not know yet which row versions its storage has given."""

    changes: Changes
    rows: tuple[PlannedRow, ...] = ()
    guards: tuple[tuple[str, str], ...] = ()

    def for_versions(self, versions: Mapping[str, int], spec: CollectionSpec) -> Changes:
        """Return the changes for a storage whose rows stand at *versions*."""

        def expected(key: str, guard: str) -> int:
            return {"0": 0, "now": versions.get(key, 0)}.get(guard, STALE)

        rows = tuple(
            RowChange(
                spec.name,
                row.key,
                None if row.values is None else json.dumps(row.values),
                tuple((row.values or {}).get(field.name) for field in spec.indexed),
                None if row.guard == "none" else expected(row.key, row.guard),
            )
            for row in self.rows
        )
        guards = tuple(RowGuard(spec.name, key, expected(key, how)) for key, how in self.guards)
        changes = self.changes
        return Changes(
            appends=changes.appends,
            conditions=changes.conditions,
            streams=changes.streams,
            guards=guards,
            rows=rows,
            checkpoints=changes.checkpoints,
            receipts=changes.receipts,
            deadline=changes.deadline,
        )


def mostly(usual: st.SearchStrategy[T], rare: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Return what *usual* draws four times out of five, else what *rare* draws.

    Not with `one_of`, which takes a strategy that stands in it several times for one.
    """
    return st.integers(0, 4).flatmap(lambda number: rare if number == 4 else usual)


def few(of: st.SearchStrategy[T], most: int) -> st.SearchStrategy[tuple[T, ...]]:
    """Return tuples that are mostly empty, or no plan would ever hold in all of its parts."""
    some = st.lists(of, min_size=1, max_size=most)
    return mostly(st.builds(list[T]), some).map(tuple)


def ids(most: int) -> st.SearchStrategy[bytes]:
    """Return ids of 16 bytes out of a small number of them."""
    return st.integers(0, most).map(lambda number: number.to_bytes(16, "big"))


@st.composite
def events(draw: st.DrawFn) -> NewEvent:
    """Return an event whose content nearly always follows from its id, as in a repetition."""
    id = draw(ids(80))
    kind = TYPES[id[-1] % 2]
    if draw(st.integers(0, 19)) == 0:
        kind = draw(st.sampled_from(TYPES))
    tags = draw(st.lists(st.sampled_from(TAGS), unique=True, max_size=2))
    tenant = draw(st.sampled_from([None, *TENANTS]))
    data = f'{{"n":{id[-1]}}}'
    return NewEvent(id, kind, 1, data, occurred_at=0, tags=tuple(tags), tenant=tenant)


expected_versions = st.one_of(
    st.just(ExpectedVersion.any()),
    st.just(ExpectedVersion.no_stream()),
    st.just(ExpectedVersion.stream_exists()),
    st.integers(0, 5).map(ExpectedVersion.exactly),
)
appends = st.builds(
    Append,
    st.sampled_from(STREAMS),
    mostly(st.just(ExpectedVersion.any()), expected_versions),
    mostly(st.lists(events(), min_size=1, max_size=3).map(tuple), st.just(())),
)
conditions = st.builds(
    TagCondition,
    st.lists(st.sampled_from(TAGS), unique=True, min_size=1, max_size=2).map(tuple),
    st.integers(0, 12),
    st.frozensets(st.sampled_from(TYPES), max_size=1),
)
values = st.fixed_dictionaries(
    {
        "email": st.sampled_from([None, "x", "y", "Y", "ü"]),
        "age": st.sampled_from([None, -1, 0, 7]),
        "score": st.sampled_from([None, 0.5, 2.0, -1.0]),
    }
)
guards = st.sampled_from(["none", "none", "none", "0", "now", "now", "stale"])
rows = st.builds(PlannedRow, st.sampled_from(KEYS), st.one_of(values, values, st.none()), guards)
checkpoint_moves = st.builds(
    CheckpointMove,
    st.sampled_from(["totals", "totals", "totals", "other"]),
    st.sampled_from([0, 0, 0, 0, 1, 2]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.one_of(st.none(), ids(3)),
    mostly(st.none(), st.just(1)),
)
_ACTIONS: Final = [StreamAction.ARCHIVE, StreamAction.RESTORE, StreamAction.TRUNCATE]
stream_changes = st.builds(
    StreamChange,
    st.sampled_from(STREAMS),
    mostly(
        st.sampled_from([*_ACTIONS, StreamAction.RESTORE, StreamAction.TRUNCATE]),
        st.just(StreamAction.TOMBSTONE),
    ),
    st.integers(-1, 6),
)
receipts = st.builds(
    NewReceipt,
    st.sampled_from(["orders", "mail"]),
    ids(30),
    st.sampled_from([b"d", b"d", b"e"]),
    st.just("null"),
)


plans = st.builds(
    Plan,
    st.builds(
        Changes,
        appends=mostly(st.lists(appends, min_size=1, max_size=2).map(tuple), st.just(())),
        conditions=few(conditions, 2),
        streams=few(stream_changes, 3),
        checkpoints=few(checkpoint_moves, 2),
        receipts=few(receipts, 2),
    ),
    st.one_of(st.just(()), st.lists(rows, max_size=3).map(tuple)),
    few(st.tuples(st.sampled_from(KEYS), st.sampled_from(["0", "now", "now", "stale"])), 1),
)
filters = st.builds(
    LogFilter,
    types=st.frozensets(st.sampled_from(TYPES), max_size=1),
    categories=st.frozensets(st.sampled_from(["a", "b", "$t", "c"]), max_size=2),
    tags=st.frozensets(st.sampled_from(TAGS), max_size=2),
    tenants=st.frozensets(st.sampled_from(TENANTS), max_size=1),
    internal=st.booleans(),
    archived=st.booleans(),
)
_VALUES: Final[dict[str, list[IndexValue]]] = {
    "email": [None, "", "x", "y", "Y", "ü"],
    "age": [None, -1, 0, 3, 7],
    "score": [None, 0.5, 2.0, 1.0],
}


@st.composite
def queries(draw: st.DrawFn, spec: CollectionSpec) -> RowQuery:
    """Return a query that *spec* allows."""
    fields = [field.name for field in spec.indexed]
    wanted: list[Condition] = []
    for field in draw(st.lists(st.sampled_from(fields), max_size=2)) if fields else []:
        comparison = draw(st.sampled_from(Comparison))
        one = st.sampled_from(_VALUES[field])
        several = st.lists(one, max_size=3).map(tuple)
        value = draw(several if comparison is Comparison.ONE_OF else one)
        wanted.append(Condition(field, comparison, value))
    order_by = [(field, draw(st.booleans())) for field in draw(st.permutations(fields))]
    return RowQuery(
        tuple(wanted),
        tuple(order_by[: draw(st.integers(0, len(fields)))]),
        limit=draw(st.integers(1, 6)),
        offset=draw(st.integers(0, 3)),
    )
