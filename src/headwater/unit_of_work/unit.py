"""The unit of work: collects what handlers want to write, and commits it as one value."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from headwater.clock import microseconds_since_epoch
from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.domain.decision_model import DecisionModel
from headwater.domain.read_model import ReadModel
from headwater.domain.recording import Pending
from headwater.domain.state import copied
from headwater.errors import (
    AggregateExistsError,
    ConcurrencyError,
    ConflictError,
    RowConflictError,
    UnitOfWorkError,
)
from headwater.ids import new_id
from headwater.metadata import current_context
from headwater.ports.changes import (
    NO_CHANGES,
    Append,
    Changes,
    CheckpointMove,
    Committed,
    NewEvent,
    NewReceipt,
    RowChange,
    RowGuard,
)
from headwater.serialization.envelope import Envelope
from headwater.streams import ExpectedVersion, check_stream_id
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.decisions import Decisions
from headwater.unit_of_work.erased_streams import commit_on_erased
from headwater.unit_of_work.identity_map import IdentityMap
from headwater.unit_of_work.lifetime import Lifetime
from headwater.unit_of_work.pending_appends import PendingAppends
from headwater.unit_of_work.pending_rows import PendingRows
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.tracking import Sealed

if TYPE_CHECKING:
    from headwater.unit_of_work.units import Units

_log = logging.getLogger("headwater")

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M", bound=ReadModel)
D = TypeVar("D", bound=DecisionModel)
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

IdSource = Callable[[object], bytes]
"""Gives the id of the new event that it is called with."""


def chance_id(_event: object) -> bytes:
    """Return a new id, whatever it is for."""
    return new_id.as_bytes()


class UnitOfWork(Lifetime):
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
        super().__init__(around=parent)
        self._units, self._ids, self._parent = units, ids, parent
        self.reads_only: Final[bool] = reads_only
        self.aggregates: Final[IdentityMap] = IdentityMap(parent.aggregates if parent else None)
        self.rows: Final[PendingRows] = PendingRows(
            check_writable=self._check_writable, around=parent.rows if parent else None
        )
        self.appends: Final[PendingAppends] = PendingAppends(parent.appends if parent else None)
        self._decisions = Decisions(units.storage, units.codec, self._collected)
        self._receipts: list[NewReceipt] = []
        self._after_commit: list[Callable[[], Awaitable[None]]] = []
        self._has_children = False
        self.recorders: Final[list[Aggregate[Any]]] = []
        self.found_empty: Final[set[str]] = parent.found_empty if parent else set()

    # ---------------------------------------------------------------- what handlers call

    def repository(self, aggregate: type[A]) -> Repository[A]:
        """Return the repository of *aggregate* within this unit."""
        return Repository(self._units.aggregate_type(aggregate), self)

    def collection(self, model: type[M]) -> Collection[M]:
        """Return the rows of *model*; written in this unit where they live with the log."""
        storage = self._units.storage_of(model)
        rows = self.rows if storage is self._units.storage else None
        return Collection(self._units.row_type(model), storage, rows)

    def append(
        self,
        stream_id: str,
        *events: object,
        expected: ExpectedVersion = ExpectedVersion.ANY,
        occurred_at: datetime | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        """Append *events* to *stream_id* when the unit commits.

        Raises:
            InvalidNameError: *stream_id* can't name a stream.
            UnitOfWorkError: the unit only reads, or is done.
        """
        self._check_writable()
        check_stream_id(stream_id)
        envelope = Envelope.of(current_context())
        # Whoever appends a list may go on to change it; what happened stays.
        kept = [copied(event, {}) for event in events]
        sealed = [self._seal(event, envelope, occurred_at, tags) for event in kept]
        self.appends.add(stream_id, expected, sealed)

    def require(self, *, tags: Sequence[str], after: int, types: Sequence[type] = ()) -> None:
        """Commit only if no event with all *tags* has come after position *after*.

        With *types* only events of these classes, or of classes derived from them, count. If
        one has come, the handler runs again.

        Raises:
            UnitOfWorkError: the unit only reads, or is done.
            ConfigurationError: no event of *types* is known.
        """
        self._check_writable()
        self._decisions.require(tags, after, types)

    async def load(self, model: D) -> D:
        """Fold into *model* the events that it is made of, and return it.

        Events that this unit has collected count too. If anything is written, the commit passes
        only if no further such event has come; if one has, the handler runs again.

        Raises:
            ConfigurationError: no event of a criterion's types is known.
            UnitOfWorkError: *model* was loaded before, or the unit is done.
            UnknownEventError, ApplyError: as `DecisionModel.apply`.
        """
        self.check_open()
        return await self._decisions.load(model)

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

    def seal(self) -> None:
        """Give what was recorded since the last call the context that is current now.

        The mediator calls it where the current message changes, so that each event carries
        the message that caused it.
        """
        envelope: Envelope | None = None

        def make(pending: Pending) -> Sealed:
            nonlocal envelope
            envelope = envelope or Envelope.of(current_context())
            return self._seal(pending.event, envelope, pending.occurred_at, pending.tags)

        self.aggregates.seal(make)

    def is_of(self, units: "Units") -> bool:
        """Return whether *units* made this unit, so that it is committed to their storage."""
        return self._units is units

    def add_receipt(self, receipt: NewReceipt) -> None:
        """Store what came of a message together with its effects."""
        self.check_open()
        self._receipts.append(receipt)

    def changes(
        self,
        *,
        checkpoints: tuple[CheckpointMove, ...] = (),
        guards: tuple[RowGuard, ...] = (),
    ) -> Changes:
        """Return everything collected as one value; encoding is checked here.

        What was only read is guarded if anything is written, else there is nothing to guard.
        *guards* come on top of that.

        Raises:
            RoundTripError: an event or row does not come back equal from encode + decode.
            UnitOfWorkError: the unit is poisoned, or only reads and has something to write.
        """
        self.check_open()
        self.check_whole()
        self.seal()
        writes, unchanged = self._appends_of_aggregates()
        writes += self.appends.appends(self._enclose)
        rows = self._rows_of_aggregates() + self.rows.changes()
        if not (writes or rows or self._receipts or checkpoints or self._decisions.required()):
            return NO_CHANGES
        self._check_writable()
        context = current_context()
        deadline = context.deadline if context is not None else None
        return Changes(
            (*unchanged, *writes) if writes or rows else (),
            self._decisions.conditions(writing=bool(writes or rows)),
            (*guards, *self.rows.guards()) if writes or rows else guards,
            tuple(rows),
            checkpoints,
            tuple(self._receipts),
            microseconds_since_epoch(deadline) if deadline is not None else None,
        )

    async def commit(
        self,
        *,
        checkpoints: tuple[CheckpointMove, ...] = (),
        guards: tuple[RowGuard, ...] = (),
    ) -> Committed:
        """Commit what was collected; afterwards the aggregates can go on in another unit.

        A unit that has collected nothing commits nothing.

        Raises:
            ConflictError: what the decisions rest on has changed; nothing was written.
            AggregateExistsError: an aggregate was added under an id that is taken.
            UnitOfWorkError: the unit is poisoned, or has nothing to write although an aggregate
                recorded events in here: it was never added.
            StorageError, DeadlineExceededError: as `Storage.commit`.
        """
        changes = self.changes(checkpoints=checkpoints, guards=guards)
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
            if not _refused_by(guards, conflict):
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

    def _seal(
        self,
        event: object,
        envelope: Envelope,
        occurred_at: datetime | None,
        tags: tuple[str, ...],
    ) -> Sealed:
        when = occurred_at or self._units.clock.now()
        return Sealed(event, envelope, when, self._ids(event), tags)

    def _collected(self) -> Iterator[tuple[str, Sealed]]:
        """Yield what was collected here and around, in the order in which it is appended."""
        if self._parent is not None:
            yield from self._parent._collected()
        self.seal()
        for tracked in self.aggregates:
            for sealed in tracked.written:
                yield tracked.stream_id, sealed
        yield from self.appends

    def _enclose(self, sealed: Sealed) -> NewEvent:
        return sealed.envelope.enclose(
            sealed.event,
            codec=self._units.codec,
            id=sealed.id,
            occurred_at=sealed.occurred_at,
            tags=sealed.tags,
        )

    def _appends_of_aggregates(self) -> tuple[list[Append], list[Append]]:
        writes: list[Append] = []
        guards: list[Append] = []
        for tracked in self.aggregates:
            events = tuple([self._enclose(sealed) for sealed in tracked.sealed])
            append = Append(tracked.stream_id, ExpectedVersion.exactly(tracked.base), events)
            (writes if events else guards).append(append)
        return writes, guards

    def _rows_of_aggregates(self) -> list[RowChange]:
        return [
            self._units.aggregate_type(type(tracked.aggregate)).row(tracked)
            for tracked in self.aggregates
            if tracked.sealed and tracked.aggregate and tracked.aggregate.stored_as_state
        ]

    def _check_writable(self) -> None:
        self.check_open()
        if self.reads_only:
            raise UnitOfWorkError(
                "A query collects nothing: it may read, not record, append or write rows. Make "
                "it a command."
            )


def _refused_by(guards: tuple[RowGuard, ...], conflict: ConflictError) -> bool:
    """Return whether *conflict* is about what the caller guards: running again can't help."""
    return isinstance(conflict, RowConflictError) and any(
        (guard.collection, guard.key) == (conflict.collection, conflict.key) for guard in guards
    )


CURRENT_UNIT: Final[ContextVar[UnitOfWork | None]] = ContextVar(
    "headwater_unit_of_work", default=None
)
"""The unit of work of the message being handled here, None outside of any."""
