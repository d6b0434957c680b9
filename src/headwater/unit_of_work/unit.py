"""The unit of work: collects what handlers want to write, and commits it as one value."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.domain.read_model import ReadModel
from headwater.errors import (
    AggregateExistsError,
    ConcurrencyError,
    ConflictError,
    UnitOfWorkError,
)
from headwater.ports.changes import (
    Changes,
    Committed,
)
from headwater.unit_of_work.advance import NO_ADVANCE, Advance
from headwater.unit_of_work.collecting import Collecting, IdSource, chance_id
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.erased_streams import commit_on_erased
from headwater.unit_of_work.repository import Repository

if TYPE_CHECKING:
    from headwater.unit_of_work.units import Units

_log = logging.getLogger("headwater")

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M", bound=ReadModel)
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class UnitOfWork(Collecting):
    """Collects appends, rows and receipts; nothing is written before `commit`.

    It hands out one instance per aggregate id. Not safe for several tasks at once: parallel
    work takes a `child` each and merges them. Get one from `Units.new` or `Units.run`, or in a
    handler by annotating a parameter with ``UnitOfWork``.
    """

    def __init__(
        self,
        units: "Units",
        *,
        reads_only: bool = False,
        ids: IdSource = chance_id,
        parent: "UnitOfWork | None" = None,
    ) -> None:
        super().__init__(units, reads_only=reads_only, ids=ids, parent=parent)
        self._after_commit: list[Callable[[], Awaitable[None]]] = []
        self._has_children = False

    # ---------------------------------------------------------------- what handlers call

    def repository(self, aggregate: type[A]) -> Repository[A]:
        """Return the repository of *aggregate* within this unit."""
        return Repository(self._units.aggregate_type(aggregate), self)

    def collection(self, model: type[M]) -> Collection[M]:
        """Return the rows of *model*; written in this unit where they live with the log."""
        storage = self._units.storage_of(model)
        rows = self.rows if storage is self._units.storage else None
        return Collection(self._units.live_rows(model), rows)

    async def decide(
        self, decider: Decider[C, S, E], id: UUID | str | int, command: C
    ) -> Sequence[E]:
        """Let *decider* answer *command* for the stream of *id*; return the new events."""
        return await self._units.decider_type(decider).decide(self, id, command)

    def after_commit(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call *callback* after the outermost commit; never, if there is none.

        A rerun starts from an empty list. What it raises is reported, not raised. It is lost by
        a crash, and where the caller is cancelled while the commit is under way.
        """
        self.check_open()
        self._after_commit.append(callback)

    # ------------------------------------------------- what the mediator and engines call

    @property
    def callbacks(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What to call after the commit, in the order it was asked for."""
        return tuple(self._after_commit)

    def child(self, *, ids: IdSource | None = None, reads_only: bool = False) -> "UnitOfWork":
        """Return a unit within this one: it sees this one's writes, and `merge` takes its own."""
        self.check_open()
        self.seal()
        self._has_children = True
        return UnitOfWork(
            self._units,
            reads_only=reads_only or self.reads_only,
            ids=ids or self._ids,
            parent=self,
        )

    def merge(self, child: "UnitOfWork") -> None:
        """Take over what *child* has collected.

        Raises:
            UnitOfWorkError: a stream or row that *child* wrote was written here since *child*
                was made: parallel handlers must not write the same thing. Or *child* is
                poisoned, or only reads and has something to write.
            ConcurrencyError: both have read a stream, at different versions.
        """
        self.check_open()
        child.check_whole()
        self.seal()
        child.seal()
        if any(tracked.written for tracked in child.aggregates):
            child._check_writable()
        self._decisions.merge(child._decisions)
        try:
            self.aggregates.merge(child.aggregates)
        except ConflictError:
            self.note_conflict()
            raise
        self.rows.merge(child.rows)
        self.appends.merge(child.appends)
        self._receipts += child._receipts
        self._after_commit += child._after_commit
        child.close()

    async def complete(self) -> None:
        """Add what is computed from the events that were collected: rows of inline projections.

        `commit` does it. Whoever looks at `changes` without a commit does it before, once.

        Raises:
            UnitOfWorkError: the unit is done.
            Exception: whatever a projection raises over an event.
        """
        self.check_open()
        if self._units.inline is not None and not self.reads_only:
            await self._units.inline.compute(self)

    def is_of(self, units: "Units") -> bool:
        """Return whether *units* made this unit, so that it is committed to their storage."""
        return self._units is units

    async def commit(self, advance: Advance = NO_ADVANCE) -> Committed:
        """Commit what was collected; afterwards the aggregates can go on in another unit.

        A unit that has collected nothing commits nothing.

        Raises:
            ConflictError: what the decisions rest on has changed; nothing was written.
            AggregateExistsError: an aggregate was added under an id that is taken.
            UnitOfWorkError: the unit is poisoned, or has nothing to write although an aggregate
                recorded events in here: it was never added.
            StorageError, DeadlineExceededError: as `Storage.commit`.
        """
        await self.complete()
        changes = self.changes(advance)
        self._check_all_added(changes)
        sealed = [(tracked.aggregate, len(tracked.written)) for tracked in self.aggregates]
        # From here on nobody may join: what came now would not be in the changes.
        self.close()
        try:
            committed = (
                Committed()
                if changes.empty
                else await commit_on_erased(
                    self._units.storage, changes, found_empty=self.found_empty
                )
            )
        except ConflictError as conflict:
            self._raise_if_taken(conflict)
            if not advance.refused_by(conflict):
                self.note_conflict()
            raise
        for aggregate, count in sealed:
            if aggregate is not None:
                aggregate.changes_committed(count)
        return committed

    # ---------------------------------------------------------------------- internals

    def _check_all_added(self, changes: Changes) -> None:
        # With children there are copies that nobody adds, and some that were dropped on purpose.
        if self._has_children or self.reads_only:
            return
        known = {id(tracked.aggregate) for tracked in self.aggregates}
        for aggregate in self.recorders:
            if not aggregate.pending or id(aggregate) in known:
                continue
            problem = (
                f"{type(aggregate).__name__} {aggregate.id} recorded {len(aggregate.pending)} "
                f"event(s), but is not part of this unit of work. Add it: repository.add(…)."
            )
            # Who writes something else may have left this one out on purpose.
            if changes.empty:
                raise UnitOfWorkError(f"{problem} Nothing was committed.")
            _log.warning("%s Its events are not committed.", problem)

    def _raise_if_taken(self, conflict: ConflictError) -> None:
        """Running again can't help an `add` that looks at nothing."""
        if not isinstance(conflict, ConcurrencyError):
            return
        for tracked in self.aggregates:
            if tracked.added and tracked.stream_id == conflict.stream_id:
                name = type(tracked.aggregate).__name__
                raise AggregateExistsError(name, conflict.stream_id, conflict.actual) from conflict


CURRENT_UNIT: Final[ContextVar[UnitOfWork | None]] = ContextVar(
    "headwater_unit_of_work", default=None
)
"""The unit of work of the message being handled here, None outside of any."""
