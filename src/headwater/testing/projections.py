"""Given rows, when events, then rows: tests of projections, without storage or event loop::

    given(OrderSummaries, placed).when(OrderShipped(order_id)).then(shipped)

Rows are checked as when they are stored, so a test also finds those that can't be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeGuard, TypeVar
from uuid import UUID

import msgspec

from headwater.domain.read_model import ReadModel
from headwater.ids import derived_id
from headwater.metadata import NO_HEADERS, Recorded
from headwater.projections.folding import Folding
from headwater.projections.projection import Folds, Projection
from headwater.serialization.codec import EventCodec
from headwater.serialization.names import kebab_case
from headwater.serialization.registry import TypeRegistry
from headwater.testing.outcome import Outcome, differences, failure
from headwater.unit_of_work.row_type import Key, RowType, key_text

E = TypeVar("E")
M = TypeVar("M", bound=ReadModel)

FIRST_MOMENT: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""When the log of a test begins; `ManualClock` begins then, too."""

_LOG_ID: Final = UUID("018cc251-f400-7000-8000-000000000000")


def recorded(
    event: E,
    *,
    position: int = 1,
    version: int | None = None,
    stream_id: str = "test-1",
    id: UUID | None = None,
    occurred_at: datetime | None = None,
    actor: str | None = None,
    tenant: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    tags: tuple[str, ...] = (),
) -> Recorded[E]:
    """Return *event* as it could stand in a log, the same for the same arguments.

    The id is made of the position; the event occurred *position* seconds after `FIRST_MOMENT`
    and was recorded as it occurred; *version* is *position* unless given.
    """
    moment = occurred_at or FIRST_MOMENT + timedelta(seconds=position)
    return Recorded(
        event,
        id or derived_id(_LOG_ID, "test", "event", position),
        stream_id,
        position if version is None else version,
        position,
        f"test.{kebab_case(type(event).__name__)}",
        1,
        moment,
        moment,
        actor=actor,
        tenant=tenant,
        headers=headers,
        tags=tags,
    )


class ProjectionScenario(Generic[M]):
    """A projection and the rows that are there."""

    def __init__(self, projection: type[Projection[M]], rows: Sequence[M]) -> None:
        self._projection, self._folds = projection, Folds(projection)
        codec = EventCodec(TypeRegistry())
        self._type: RowType[M] = RowType(self._folds.model, context="test", codec=codec)
        self._rows: dict[str, M] = {}
        for row in rows:
            key = self._type.key_of(row)
            if key in self._rows:
                raise ValueError(f"two rows are given with key {key!r}")
            self._type.written(row, expected=None)
            self._rows[key] = row

    def when(self, *events: object) -> "ProjectionOutcome[M]":
        """Hand over *events* in order, bare or each as a `Recorded` (see `recorded`).

        Bare ones stand in the log at positions 1, 2, 3 …, where a method asks for that. The
        events before one that fails have had their effect.
        """
        rows, folding = dict(self._rows), Folding(self._projection(), self._folds, self._type)
        error: Exception | None = None
        try:
            for position, event in enumerate(events, 1):
                whole = event if _is_recorded(event) else recorded(event, position=position)
                self._fold(folding, rows, whole)
        except Exception as raised:  # noqa: BLE001 - the outcome answers for it
            error = raised
        return ProjectionOutcome(self._projection.__name__, rows, error, self._type.key_of)

    def _fold(self, folding: Folding[M], rows: dict[str, M], event: Recorded[Any]) -> None:
        """Do with *rows* what `ProjectionConsumer` does with stored ones."""
        given = _Given(event.payload, event, event)
        for key in folding.keys_of(given, rows.values()):
            after = folding.fold(given, key, rows.get(key))
            if after is None:
                rows.pop(key, None)
                continue
            self._type.written(after, expected=None)
            rows[key] = after


class _Given(msgspec.Struct, frozen=True):
    """An event of a test, which has what its record says."""

    payload: object
    recorded: Recorded[Any]
    stored: Recorded[Any]


def _is_recorded(event: object) -> TypeGuard[Recorded[Any]]:
    return isinstance(event, Recorded)


class ProjectionOutcome(Outcome, Generic[M]):
    """What the events made of the rows."""

    def __init__(
        self,
        label: str,
        rows: Mapping[str, M],
        error: Exception | None,
        key_of: Callable[[M], str],
    ) -> None:
        super().__init__(label, (), error)
        self._rows, self._key_of = dict(rows), key_of

    def then(self, *expected: M) -> "ProjectionOutcome[M]":
        """Expect exactly these rows afterwards, in whatever order."""
        __tracebackhide__ = True
        self._expect_no_error(f"{len(expected)} row(s)")
        problems = list(self._row_problems({self._key_of(row): row for row in expected}))
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise failure(f"{self._label}: other rows than expected.\n{lines}")
        return self

    def then_nothing(self) -> "ProjectionOutcome[M]":
        """Expect that there is no row afterwards."""
        __tracebackhide__ = True
        return self.then()

    def row(self, key: Key) -> M:
        """Return the row under *key*.

        Raises:
            AssertionError: there is none, or an event failed.
        """
        __tracebackhide__ = True
        self._expect_no_error(f"row {key_text(key)!r}")
        found = self._rows.get(key_text(key))
        if found is None:
            there = ", ".join(map(repr, self._rows)) or "none"
            raise failure(f"{self._label}: there is no row {key_text(key)!r}. Rows: {there}.")
        return found

    def _told(self) -> str:
        return f"Rows: {', '.join(map(repr, self._rows.values())) or 'none'}."

    def _row_problems(self, expected: Mapping[str, M]) -> Iterator[str]:
        for key, row in expected.items():
            actual = self._rows.get(key)
            if actual is None:
                yield f"row {key!r}: missing {row!r}"
            else:
                yield from differences(row, actual, f"row {key!r}, {type(row).__name__}")
        for key, row in self._rows.items():
            if key not in expected:
                yield f"row {key!r}: unexpected {row!r}"
