"""Decisions across aggregates: what they rest on is read by criteria, and guarded at the commit."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from headwater.domain.appliers import event_name
from headwater.domain.decision_model import DecisionModel, EventCriteria
from headwater.errors import ConfigurationError, UnitOfWorkError
from headwater.ports.changes import TagCondition
from headwater.ports.log import Log, LogFilter, LogPage, StoredEvent
from headwater.serialization.codec import EventCodec
from headwater.serialization.foreign import is_record_class
from headwater.unit_of_work.pending_events import as_read
from headwater.unit_of_work.tracking import Sealed

M = TypeVar("M", bound=DecisionModel)

DECISION_PAGE_EVENTS: Final = 1000
"""How many events are read at once for a decision model."""

Pending = Iterable[tuple[str, Sealed]]
"""Events that a unit has collected and not committed, each with its stream."""


class Criterion(msgspec.Struct, frozen=True):
    """Which events count: those with all `tags` that are read as one of the types `names`, and
    stored as one of `stored` (upcasters make the difference)."""

    tags: frozenset[str]
    names: frozenset[str]
    stored: frozenset[str]

    def meets(self, type: str, tags: Iterable[str]) -> bool:
        """Return whether an event of this type and with these tags counts."""
        return type in self.names and self.tags.issubset(tags)


class Decision(msgspec.Struct, frozen=True):
    """What a loaded model rests on as of `position`, and which events of its unit it has seen."""

    criteria: tuple[Criterion, ...]
    position: int
    seen: frozenset[bytes]


class Decisions:
    """The conditions of one unit of work.

    Those asked for by `require` hold for every commit; those of loaded models only where
    something is written, as with aggregates that were only read.
    """

    def __init__(self, log: Log, codec: EventCodec, pending: Callable[[], Pending]) -> None:
        self._log, self._codec, self._pending = log, codec, pending
        self._required: list[TagCondition] = []
        self._made: list[Decision] = []

    def require(self, tags: Sequence[str], after: int, types: Sequence[type]) -> None:
        """Add a condition.

        Raises:
            ConfigurationError: no event of *types* is known.
        """
        names_of = self._codec.stored_names
        names = frozenset[str]().union(*(names_of(cls) for cls in types))
        if types and not names:
            raise _nobody_knows(types)
        self._required.append(TagCondition(tuple(tags), after, names))

    async def load(self, model: M) -> M:
        """Fold into *model* what is stored and what its unit has collected.

        Raises:
            ConfigurationError: no event of a criterion's types is known.
            UnitOfWorkError: *model* was loaded before.
            UnknownEventError, ApplyError: as `DecisionModel.apply`.
        """
        criteria = tuple([self._criterion(each) for each in model.criteria])
        stored, position = await self._read(criteria)
        model.begin(position)
        for record in stored:
            for part, payload in self._codec.read(record):
                if any(each.meets(part.type, part.tags) for each in criteria):
                    model.apply(payload, stream_id=part.stream_id, version=part.version)
        seen: list[bytes] = []
        for stream_id, sealed in self._pending():
            seen.append(sealed.id)
            for event in self._counting(criteria, sealed):
                model.apply(event, stream_id=stream_id)
        self._made.append(Decision(criteria, position, frozenset(seen)))
        return model

    def merge(self, child: "Decisions") -> None:
        """Take over the conditions of *child*, before the events that it has collected.

        Raises:
            UnitOfWorkError: events came here since *child* loaded a model that counts them.
        """
        for decision in child._made:
            for stream_id, sealed in self._pending():
                if sealed.id not in decision.seen and self._counting(decision.criteria, sealed):
                    raise UnitOfWorkError(
                        f"{event_name(sealed.event)} was appended to {stream_id!r} while a "
                        f"handler that ran in parallel decided without it. Publish sequentially."
                    )
        self._required += child._required
        self._made += child._made

    def required(self) -> bool:
        """Return whether there is something to check, whether anything is written or not."""
        return bool(self._required)

    def conditions(self, *, writing: bool) -> tuple[TagCondition, ...]:
        """Return what the commit has to check; *writing* says that there is something to write."""
        made = [
            TagCondition(tuple(sorted(each.tags)), decision.position, each.stored)
            for decision in (self._made if writing else ())
            for each in decision.criteria
        ]
        return (*self._required, *dict.fromkeys(made))

    async def _read(self, criteria: Sequence[Criterion]) -> tuple[list[StoredEvent], int]:
        """Return the stored events that meet any of *criteria*, and the position read up to."""
        # What a condition counts: internal and archived streams too.
        filters = [LogFilter(c.stored, frozenset(), c.tags, True, True) for c in criteria]
        pages = await asyncio.gather(*(self._page(0, where) for where in filters))
        # All are read up to one position. Later events might be there for some criteria and not
        # for others yet, and a state that never was could fail in odd ways.
        until = min(page.head for page in pages)
        found: dict[int, StoredEvent] = {}
        for where, first in zip(filters, pages, strict=True):
            page = first
            found.update((event.position, event) for event in page.events)
            while page.scanned_to < until:
                page = await self._page(page.scanned_to, where)
                found.update((event.position, event) for event in page.events)
        return [found[position] for position in sorted(found) if position <= until], until

    async def _page(self, after: int, where: LogFilter) -> LogPage:
        return await self._log.read_log(after=after, where=where, limit=DECISION_PAGE_EVENTS)

    def _counting(self, criteria: Sequence[Criterion], sealed: Sealed) -> list[Any]:
        """Return which of the events that *sealed* will be read as meet any of *criteria*."""
        if not any(each.tags.issubset(sealed.tags) for each in criteria):
            return []
        return [
            event
            for type, event in as_read(sealed.event, self._codec)
            if any(each.meets(type, sealed.tags) for each in criteria)
        ]

    def _criterion(self, criteria: EventCriteria) -> Criterion:
        registry = self._codec.registry
        for cls in criteria.types:
            # One that no other code of this process names may be in the log all the same.
            if is_record_class(cls) and not cls.__module__.startswith("headwater."):
                registry.name_of(cls)
        names = frozenset[str]().union(*(registry.names_of(cls) for cls in criteria.types))
        stored = frozenset[str]().union(*(self._codec.stored_names(c) for c in criteria.types))
        if not stored:
            raise _nobody_knows(criteria.types)
        return Criterion(frozenset(criteria.tags), names, stored)


def _nobody_knows(types: Sequence[type]) -> ConfigurationError:
    shown = ", ".join(cls.__name__ for cls in types)
    return ConfigurationError(f"No event of {shown} is known; register them first.")
