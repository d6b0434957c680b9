"""Read models of the past: a projection's rows as of a position or a time, folded in memory."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from headwater.clock import Moment, checked_moment
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError, HistoryUnavailableError, LimitExceededError
from headwater.ports.log import Log
from headwater.projections.folding import Folding
from headwater.projections.projection import Projection
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.start import position_at
from headwater.subscriptions.subscription import Arrival, Subscription
from headwater.unit_of_work.row_type import Key, key_text

M = TypeVar("M", bound=ReadModel)

AS_OF_ROWS_MAX: Final = 100_000
"""How many rows `ReadModelHistory.rows` holds at most."""

_PAGE_EVENTS: Final = 2000


class ReadModelHistory(Generic[M]):
    """Shows the rows of one projection as they were.

    They are folded from the events that are in the log now: those that were erased since are
    not in them, those of streams that were archived are.
    """

    def __init__(
        self,
        name: str,
        folding: Folding[M],
        subscription: Subscription,
        *,
        log: Log,
        codec: EventCodec,
    ) -> None:
        self._name, self._folding, self._log, self._codec = name, folding, log, codec
        self._takes = subscription.takes
        self._wanted = msgspec.structs.replace(subscription.wanted, archived=True)

    async def row(self, key: Key, *, at: Moment) -> M | None:
        """Return the row under *key* as of a position (that event included), a receipt or a time.

        All events that the projection takes are read up to there. An event that the projection
        fails on is raised as what it raised.

        Raises:
            HistoryUnavailableError: the log has not come to that position.
            MomentError: *at* can't name a position or time.
        """
        text = key_text(key)
        if self._folding.folds.each:
            return (await self.rows(at=at)).get(text)
        row: M | None = None
        async for arrival in self._arrivals(at):
            if self._folding.key_of(arrival) == text:
                row = self._folding.fold(arrival, text, row)
        return row

    async def rows(self, *, at: Moment) -> Mapping[str, M]:
        """Return all rows by the text of their key; raises as `row`.

        Raises:
            LimitExceededError: there are more than `AS_OF_ROWS_MAX`.
        """
        rows: dict[str, M] = {}
        async for arrival in self._arrivals(at):
            for key in self._folding.keys_of(arrival, rows.values()):
                row = self._folding.fold(arrival, key, rows.get(key))
                if row is not None:
                    rows[key] = row
                else:
                    rows.pop(key, None)
            if len(rows) > AS_OF_ROWS_MAX:
                what = f"rows of {self._name} as of {at}"
                raise LimitExceededError(what, limit=AS_OF_ROWS_MAX, actual=len(rows))
        return rows

    async def _arrivals(self, at: Moment) -> AsyncIterator[Arrival]:
        upto, after = await self._position(at), 0
        while after < upto:
            page = await self._log.read_log(after=after, where=self._wanted, limit=_PAGE_EVENTS)
            for stored in page.events:
                if stored.position > upto:
                    return
                for part, payload in self._codec.read(stored):
                    if part.type in self._takes:
                        yield Arrival(part, payload)
            after = page.scanned_to

    async def _position(self, at: Moment) -> int:
        at = checked_moment(at, first=0)
        if isinstance(at, datetime):
            return await position_at(self._log, at)
        position = at if isinstance(at, int) else at.position
        head = await self._log.head()
        if position > head:
            problem = f"the head of the log is at position {head}."
            raise HistoryUnavailableError(self._name, as_of=f"position {position}", problem=problem)
        return position


class Histories:
    """The histories of an app's projections, by projection class and by read model."""

    def __init__(self) -> None:
        self._by_class: dict[type, ReadModelHistory[Any]] = {}
        self._several: set[type] = set()

    def add(self, projection: type, model: type[M], history: ReadModelHistory[M]) -> None:
        """Take over the history of *projection*, which computes *model*."""
        self._by_class[projection] = history
        if model in self._by_class:
            self._several.add(model)
        self._by_class[model] = history

    def of(self, wanted: type[M] | type[Projection[M]]) -> ReadModelHistory[M]:
        """Return the history of a read model, or of a projection by its class.

        Raises:
            ConfigurationError: no class derived from `Projection` computes it, or several do.
        """
        if wanted in self._several:
            raise ConfigurationError(
                f"Several projections compute {wanted.__name__}. Ask for one by its class."
            )
        history = self._by_class.get(wanted)
        if history is None:
            raise ConfigurationError(
                f"{wanted.__name__} can't be shown as of the past: no class derived from "
                f"Projection computes it. What writes rows itself may call others and may depend "
                f"on more than the log."
            )
        return cast("ReadModelHistory[M]", history)
