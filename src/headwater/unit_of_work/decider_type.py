"""Decider types: how a decider's streams are loaded and decided on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from uuid import UUID

from headwater.domain.decider import Decider
from headwater.domain.header import stream_id
from headwater.ports.log import Log
from headwater.serialization.codec import EventCodec
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.aggregate_type import read_events

if TYPE_CHECKING:
    from headwater.unit_of_work.unit import UnitOfWork

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class DeciderType(Generic[C, S, E]):
    """Loads the streams of one decider, ``<context>.<decider>-<id>``."""

    def __init__(
        self, decider: Decider[C, S, E], *, context: str, storage: Log, codec: EventCodec
    ) -> None:
        self._decider, self._storage, self._codec = decider, storage, codec
        self._context = context

    async def decide(self, unit: "UnitOfWork", id: UUID | str | int, command: C) -> Sequence[E]:
        """Fold the stream of *id*, decide on *command*, and collect the new events in *unit*.

        What this unit or one around it appended to the stream before is folded in.
        """
        stream = stream_id(self._context, self._decider.name, id)
        stored = await read_events(self._storage, stream, codec=self._codec)
        pending = unit.appends.events_of(stream)
        state = self._decider.fold([*stored, *cast("list[E]", pending)])
        events = tuple(self._decider.decide(command, state))
        expected = ExpectedVersion.exactly(len(stored) + len(pending))
        unit.append(stream, *events, expected=expected)
        return events
