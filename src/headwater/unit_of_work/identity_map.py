"""The identity map: one instance per aggregate id within a unit of work."""

from collections.abc import Callable, Iterator
from typing import Any

from headwater.domain.state import copied
from headwater.errors import ConcurrencyError, UnitOfWorkError
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.tracking import Sealed, Tracked

AggregateKey = tuple[type, str]


class IdentityMap:
    """The aggregates that one unit has handed out, on top of those of the unit around it."""

    def __init__(self, around: "IdentityMap | None" = None) -> None:
        self._around = around
        self._tracked: dict[AggregateKey, Tracked] = {}

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._tracked.values())

    def here(self, key: AggregateKey) -> Tracked | None:
        """Return what is known of an aggregate in this unit alone."""
        return self._tracked.get(key)

    def around(self, key: AggregateKey) -> Tracked | None:
        """Return what the units around this one know of an aggregate."""
        if self._around is None:
            return None
        return self._around.here(key) or self._around.around(key)

    def track(self, key: AggregateKey, tracked: Tracked) -> None:
        """Remember an aggregate that was handed out."""
        self._tracked[key] = tracked

    def seal(self, make: Callable[[Any], Sealed]) -> None:
        """Turn what was recorded since the last call into sealed events."""
        for tracked in self._tracked.values():
            for pending in tracked.unsealed():
                tracked.sealed.append(make(pending))

    def merge(self, child: "IdentityMap") -> None:
        """Take over the aggregates of *child*; both are sealed.

        Raises:
            UnitOfWorkError: a stream was written here since *child* read it, and in it too.
            ConcurrencyError: both have read a stream, at different versions.
        """
        for key, theirs in child._tracked.items():
            mine = self._tracked.get(key)
            if mine is None:
                self._tracked[key] = theirs
            else:
                self._merge_one(key, mine, theirs)

    def _merge_one(self, key: AggregateKey, mine: Tracked, theirs: Tracked) -> None:
        if mine.base != theirs.base:
            expected = ExpectedVersion.exactly(mine.base)
            raise ConcurrencyError(mine.stream_id, expected=expected, actual=theirs.base)
        if not theirs.written:
            return
        if len(mine.sealed) != theirs.inherited:
            raise UnitOfWorkError(
                f"Stream {mine.stream_id!r} was written by two handlers that ran in parallel. "
                f"Publish sequentially, or write it in one of them."
            )
        if mine.aggregate is None:
            self._tracked[key] = theirs
            return
        for sealed in theirs.written:
            # Its state may take over a list of the event and change it later.
            event = copied(sealed.event, {})
            mine.aggregate.record(event, occurred_at=sealed.occurred_at, tags=sealed.tags)
        mine.sealed += theirs.written
