"""The reader: reads the log for all partitions that this process has leased, and deals events."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from headwater.errors import HandlerCancelledError, SubscriptionFailedError, UnknownTypeError
from headwater.ports.leases import Checkpoint
from headwater.ports.log import WHOLE_LOG, Log, LogPage, StoredEvent
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.cursor import Cursor, position_of
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.partitions import Partition
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival, partition_of
from headwater.subscriptions.workplace import Workplace

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the reader looks for itself."""

PAGE_REST_SECONDS_MAX: Final = 0.03
"""How long the reader rests at most after a page that ended at the head of the log.

It waits until that page is done, and then as long again. Under load events gather meanwhile, and
their effects share commits; a single event that comes later is not held up.
"""

EVENT_BYTES_FIRST: Final = 1024
"""How large an event is taken to be before the first was seen."""


class Reader:
    """Reads from the partition that is furthest behind and has room; the others skip."""

    def __init__(
        self,
        place: Workplace,
        *,
        log: Log,
        codec: EventCodec,
        cursor: Cursor,
        count: int,
        partitions: Mapping[int, Partition],
        dealt: Callable[[int, Mapping[Partition, int]], None],
    ) -> None:
        """Deal to *partitions*, of *count* in all; call *dealt* with the end of a page and how
        many events came to whom."""
        self._place, self._log, self._codec, self._cursor = place, log, codec, cursor
        self._count, self._partitions, self._dealt = count, partitions, dealt
        self._changed = asyncio.Event()
        # Counted: a wait that was cancelled ends only after the next one has begun.
        self._waits = 0
        self._event_bytes = float(EVENT_BYTES_FIRST)
        self.stop_at = place.control.stored.stop_at
        self._stop_id: bytes | None = None

    def gained(self) -> None:
        """Hear that there are other partitions than before."""
        self._changed.set()

    def has_room(self) -> None:
        """Hear that something was done."""
        if self._waits:
            self._changed.set()

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            LogRewoundError: the log is another than the one that was read.
            SubscriptionFailedError: an event can't be decoded, and nobody knows whose it is; what
                comes before it is done.
            RowConflictError: so it is, and the control row has changed.
        """
        while True:
            self._changed.clear()
            at = self._next()
            if at is None or not self._place.flight.half_empty:
                await self._until_changed()
                continue
            page = await self._cursor.read(at, self._place.subscription.wanted, limit=self._limit())
            reach("page-read")
            self._place.condition.head = page.head
            if self.stop_at is not None and page.scanned_to >= self.stop_at > 0:
                self._stop_id = await self._id_at(self.stop_at)
            failure = self._deal(at, page)
            reach("events-dealt")
            if failure is not None:
                await self._drained()
                # The whole list of what newer code wants tells more than the first of it.
                await self._place.control.check_unchanged()
                raise failure
            if page.scanned_to < page.head:
                self._place.condition.work(SubscriptionState.CATCHING_UP)
                # Where storages answer without a pause, lanes would never have their turn.
                await asyncio.sleep(0)
            else:
                await self._follow(page)

    # ------------------------------------------------------------------- where to read

    def _next(self) -> Checkpoint | None:
        """Return after which place to read; None: nobody has room, or all are where they stop."""
        limit = self._queue_max()
        found: Checkpoint | None = None
        for one in self._partitions.values():
            queued = len(one.queue)
            room = 2 * queued <= limit if one.left_behind else queued < limit
            if (
                room
                and not one.leaving
                and (self.stop_at is None or one.dealt_to.position < self.stop_at)
                and (found is None or one.dealt_to.position < found.position)
            ):
                found = one.dealt_to
        return found

    def _queue_max(self) -> int:
        """Return how many events may wait for one partition.

        All of them together fill what may be in flight, so a slow one never takes the room of
        others, unless lists have to be larger than its part. Those that are worked together have
        one lane and one queue.
        """
        events = self._place.flight.flow.in_flight_events
        if self._place.consumer.together:
            return events
        part = max(1, events // max(1, len(self._partitions)))
        gather = self._place.subscription.gather
        return part if gather is None else min(events, max(part, gather.size))

    def _limit(self) -> int:
        flight, subscription = self._place.flight, self._place.subscription
        by_bytes = int(flight.bytes_left / self._event_bytes)
        return max(1, min(subscription.page_events, flight.events_left, by_bytes))

    async def _until_changed(self) -> None:
        self._waits += 1
        try:
            await self._changed.wait()
        finally:
            self._waits -= 1

    async def _drained(self) -> None:
        while self._place.flight.events:
            self._changed.clear()
            await self._until_changed()

    async def _follow(self, page: LogPage) -> None:
        """Rest after a page at the head of the log, then wait for more."""
        self._place.condition.work(SubscriptionState.LIVE)
        if page.events:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(PAGE_REST_SECONDS_MAX):
                    await self._drained()
            except TimeoutError:
                pass
            await asyncio.sleep(min(time.monotonic() - begun, PAGE_REST_SECONDS_MAX))
        at = self._next()
        if at is None or at.position < page.head or self._changed.is_set():
            return
        news = asyncio.ensure_future(self._log.wait_for_news(at.position, seconds=NEWS_SECONDS))
        changed = asyncio.ensure_future(self._until_changed())
        try:
            await asyncio.wait((news, changed), return_when=asyncio.FIRST_COMPLETED)
            if news.done() and not news.cancelled():
                self._cursor.check_head(at, news.result())
        finally:
            news.cancel()
            changed.cancel()

    async def _id_at(self, position: int) -> bytes | None:
        """Return the id of the event at *position*, None if it was erased."""
        page = await self._log.read_log(after=position - 1, where=WHOLE_LOG, limit=1)
        return next((one.id for one in page.events if one.position == position), None)

    # ------------------------------------------------------------------------- dealing

    def _deal(self, at: Checkpoint, page: LogPage) -> SubscriptionFailedError | None:
        """Deal what was read after *at*; return the failure if one can't be dealt to anybody."""
        arrivals, reached, failure = self._decode(at, page)
        groups: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            groups.setdefault(arrival.partition, []).append(arrival)
        limit, dealt = self._queue_max(), dict[Partition, int]()
        for number, one in self._partitions.items():
            if one.leaving or one.dealt_to.position < at.position:
                continue  # It is given up, or has a gap before this page.
            group = groups.get(number, ())
            if group and is_behind(one, group[0]):
                group = [arrival for arrival in group if not is_behind(one, arrival)]
            if group and (count := one.deal(group, limit)):
                dealt[one] = count
            one.left_behind = len(group) > dealt.get(one, 0)
            if one.left_behind:
                preceding = group[dealt.get(one, 0)].preceding
                if preceding is not None and preceding.position > one.dealt_to.position:
                    one.dealt_to = Checkpoint(preceding.position, preceding.id)
            elif reached.position > one.dealt_to.position or reached.event_id is not None:
                # Where it stands there already, it may be known only now which event that is.
                one.dealt_to = max(reached, one.dealt_to, key=position_of)
        self._dealt(reached.position, dealt)
        return failure

    def _decode(
        self, at: Checkpoint, page: LogPage
    ) -> tuple[list[Arrival], Checkpoint, SubscriptionFailedError | None]:
        arrivals: list[Arrival] = []
        preceding: StoredEvent | None = None
        consumer, subscription = self._place.consumer, self._place.subscription
        read = self._place.overrides.reading(self._codec.read)
        key_of, by_stream = consumer.key_of, consumer.keyed_by_stream
        takes, partitions, stop_at = subscription.takes, self._count, self.stop_at
        events: Sequence[StoredEvent] = page.events
        if stop_at is not None and page.scanned_to > stop_at:
            events = [stored for stored in events if stored.position <= stop_at]
        for stored in events:
            before, arrival = len(arrivals), None
            try:
                for part, payload in read(stored):
                    if not takes or part.type in takes:
                        arrivals.append(arrival := Arrival(part, payload))
                        arrival.preceding, arrival.event_id = preceding, stored.id
                        arrival.key = key = key_of(arrival)
                        arrival.partition = partition_of(key, partitions)
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - told in its turn
                error = (
                    raised
                    if isinstance(raised, Exception)
                    else HandlerCancelledError(subscription.name)
                )
                # What was made of one event is taken over as a whole or not at all.
                del arrivals[before:]
                if by_stream and not isinstance(error, UnknownTypeError):
                    arrivals.append(arrival := Arrival(stored, None, error))
                    arrival.preceding, arrival.key = preceding, stored.stream_id
                    arrival.partition = partition_of(stored.stream_id, partitions)
                else:
                    reached = Checkpoint(preceding.position, preceding.id) if preceding else at
                    failed = arrival or Arrival(stored, None)
                    return arrivals, reached, self._place.failure(failed, error)
            preceding = stored
        if page.events:
            mean = sum([len(stored.data) for stored in page.events]) / len(page.events)
            self._event_bytes = max(1.0, (self._event_bytes + mean) / 2)
        if stop_at is not None and page.scanned_to >= stop_at:
            return arrivals, Checkpoint(stop_at, self._stop_id), None
        return arrivals, Checkpoint(page.scanned_to, page.event_id), None


def is_behind(partition: Partition, arrival: Arrival) -> bool:
    """Return whether *partition* has *arrival* behind it: it is done, or was dealt already."""
    return arrival.stored.position <= partition.dealt_to.position
