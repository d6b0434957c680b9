"""What a unit of work collects, and the changes that it becomes."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headwater.clock import microseconds_since_epoch
from headwater.domain.aggregate import Aggregate
from headwater.domain.decision_model import DecisionModel
from headwater.domain.recording import Pending
from headwater.domain.state import copied
from headwater.errors import UnitOfWorkError
from headwater.ids import new_id
from headwater.metadata import current_context
from headwater.ports.changes import (
    NO_CHANGES,
    Append,
    Changes,
    NewEvent,
    NewReceipt,
    RowChange,
)
from headwater.serialization.envelope import Envelope
from headwater.streams import ExpectedVersion, check_stream_id
from headwater.unit_of_work.advance import NO_ADVANCE, Advance
from headwater.unit_of_work.decisions import Decisions
from headwater.unit_of_work.identity_map import IdentityMap
from headwater.unit_of_work.lifetime import Lifetime
from headwater.unit_of_work.pending_appends import PendingAppends
from headwater.unit_of_work.pending_rows import PendingRows
from headwater.unit_of_work.tracking import Sealed

if TYPE_CHECKING:
    from headwater.unit_of_work.units import Units

D = TypeVar("D", bound=DecisionModel)

IdSource = Callable[[object], bytes]
"""Gives the id of the new event that it is called with."""


def chance_id(_event: object) -> bytes:
    """Return a new id, whatever it is for."""
    return new_id.as_bytes()


class Collecting(Lifetime):
    """Collects appends, rows, conditions and receipts, and gives them as one value."""

    def __init__(
        self,
        units: "Units",
        *,
        reads_only: bool = False,
        ids: IdSource = chance_id,
        parent: "Collecting | None" = None,
    ) -> None:
        super().__init__(around=parent)
        self._units, self._ids, self._parent = units, ids, parent
        self.reads_only: Final[bool] = reads_only
        self.aggregates: Final[IdentityMap] = IdentityMap(parent.aggregates if parent else None)
        self.rows: Final[PendingRows] = PendingRows(
            check_writable=self._check_writable, around=parent.rows if parent else None
        )
        self.appends: Final[PendingAppends] = PendingAppends(parent.appends if parent else None)
        self._decisions = Decisions(units.storage, units.codec, self.collected)
        self._receipts: list[NewReceipt] = []
        self.recorders: Final[list[Aggregate[Any]]] = []
        self.found_empty: Final[set[str]] = parent.found_empty if parent else set()

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

    def add_receipt(self, receipt: NewReceipt) -> None:
        """Store what came of a message together with its effects."""
        self.check_open()
        self._receipts.append(receipt)

    def changes(
        self,
        advance: Advance = NO_ADVANCE,
    ) -> Changes:
        """Return everything collected as one value; encoding is checked here.

        What was only read is guarded if anything is written, else there is nothing to guard.
        *advance* comes on top of that.

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
        advances = advance.checkpoints or advance.rows
        if not (writes or rows or self._receipts or advances or self._decisions.required()):
            return NO_CHANGES
        self._check_writable()
        context = current_context()
        deadline = context.deadline if context is not None else None
        return Changes(
            (*unchanged, *writes) if writes or rows else (),
            self._decisions.conditions(writing=bool(writes or rows)),
            (*advance.guards, *self.rows.guards()) if writes or rows else advance.guards,
            (*rows, *advance.rows),
            advance.checkpoints,
            tuple(self._receipts),
            microseconds_since_epoch(deadline) if deadline is not None else None,
        )

    def collected(self) -> Iterator[tuple[str, Sealed]]:
        """Yield what was collected here and around, in the order in which it is appended."""
        if self._parent is not None:
            yield from self._parent.collected()
        self.seal()
        for tracked in self.aggregates:
            for sealed in tracked.written:
                yield tracked.stream_id, sealed
        yield from self.appends

    # ---------------------------------------------------------------------- internals

    def _seal(
        self,
        event: object,
        envelope: Envelope,
        occurred_at: datetime | None,
        tags: tuple[str, ...],
    ) -> Sealed:
        when = occurred_at or self._units.clock.now()
        return Sealed(event, envelope, when, self._ids(event), tags)

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
