"""What a unit of work remembers of each aggregate it has handed out."""

from datetime import datetime
from typing import Any

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.serialization.envelope import Envelope


class Sealed(msgspec.Struct, frozen=True):
    """An event with what was true when it was recorded: its context, its time, its id."""

    event: object
    envelope: Envelope
    occurred_at: datetime
    id: bytes
    tags: tuple[str, ...] = ()


class Tracked:
    """An aggregate in a unit's identity map.

    `base` is the stream version that its decisions rest on; `sealed` holds its new events, of
    which the first `inherited` came from the unit around this one. `row_version` belongs to
    aggregates that are stored as state. `aggregate` is None where none was found: then only
    its absence is guarded. `added` says that a new one was added and nobody had looked before.
    """

    __slots__ = ("added", "aggregate", "base", "inherited", "row_version", "sealed", "stream_id")

    def __init__(
        self,
        stream_id: str,
        aggregate: Aggregate | None,
        *,
        base: int,
        row_version: int = 0,
        inherited: tuple[Sealed, ...] = (),
        added: bool = False,
    ) -> None:
        self.stream_id, self.aggregate = stream_id, aggregate
        self.base, self.row_version, self.added = base, row_version, added
        self.inherited = len(inherited)
        self.sealed: list[Sealed] = list(inherited)

    def unsealed(self) -> "tuple[Any, ...]":
        """Return the pending events that were recorded since the last seal."""
        if self.aggregate is None:
            return ()
        return self.aggregate.pending[len(self.sealed) - self.inherited :]

    @property
    def written(self) -> list[Sealed]:
        """The events that this unit, and not the one around it, has recorded."""
        return self.sealed[self.inherited :]
