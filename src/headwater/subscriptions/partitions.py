"""A leased partition in this process: what was dealt to it, what is in hand, how far it is."""

from collections import deque
from collections.abc import Sequence

import msgspec

from headwater.errors import HeldLimitError
from headwater.ports.changes import RowGuard
from headwater.ports.leases import Checkpoint, Lease
from headwater.ports.log import StoredEvent
from headwater.subscriptions.failure import Failures
from headwater.subscriptions.flow import Flow
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack, groups


class InFlight:
    """What was read and is not committed, of all partitions of a subscription together."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.events = self.bytes = 0

    @property
    def events_left(self) -> int:
        """How many more events there may be."""
        return self.flow.in_flight_events - self.events

    @property
    def bytes_left(self) -> int:
        """How many more bytes there may be."""
        return self.flow.in_flight_bytes - self.bytes

    @property
    def half_empty(self) -> bool:
        """Whether there is room enough to read on."""
        flow = self.flow
        return 2 * self.events <= flow.in_flight_events and 2 * self.bytes <= flow.in_flight_bytes

    def add(self, arrivals: Sequence[Arrival], sizes: Sequence[int]) -> int:
        """Note the first of *arrivals*, as many as there is room for; return how many.

        If nothing else is there, the first event has room however large it is.
        """
        count, size = len(arrivals), sum(sizes)
        if count > self.events_left or size > self.bytes_left:
            count, size = self._fitting(arrivals, sizes)
        self.events += count
        self.bytes += size
        return count

    def _fitting(self, arrivals: Sequence[Arrival], sizes: Sequence[int]) -> tuple[int, int]:
        count = size = 0
        for group in groups(arrivals):
            more = sum(sizes[count : count + len(group)])
            fits = count + len(group) <= self.events_left and size + more <= self.bytes_left
            if not fits and (count or self.events):
                break
            count, size = count + len(group), size + more
        return count, size

    def remove(self, arrivals: Sequence[Arrival]) -> None:
        """Note that *arrivals* are committed, or dropped."""
        self.events -= len(arrivals)
        self.bytes -= sum([len(arrival.stored.data) for arrival in arrivals])


class Partition:
    """A partition under one lease.

    Its place in the log is known twice: `stored` is its checkpoint, `dealt_to` how far events were
    dealt to it. Events between the two are in `queue` or `hand`, and where both are empty, all
    up to `dealt_to` is done.
    """

    def __init__(self, subscription: str, lease: Lease, failures: Failures, flight: InFlight):
        self._subscription, self._flight = subscription, flight
        self.lease, self.failures = lease, failures
        self.number, self.token = lease.partition, lease.token
        self.stored = self.dealt_to = lease.checkpoint
        self.queue: deque[Arrival] = deque()
        self.hand: list[Arrival] = []
        self._last: StoredEvent | None = None
        self.loaded = False
        self.left_behind = False
        """Its queue was full, and the reader went on without it."""
        self.leaving = False
        """It is to be given up when nothing is in hand."""
        self.storing = False
        """A commit that rests on its checkpoint is under way, with nothing in hand."""
        self.blocked: HeldLimitError | None = None
        """Why it goes no further although there are events."""

    @property
    def idle(self) -> bool:
        """Whether all that was dealt to it is done."""
        return not self.queue and not self.hand

    @property
    def reached(self) -> int:
        """The position up to which everything is done, stored or not."""
        first = self.first
        return max(self.stored.position, first.position - 1 if first else self.dealt_to.position)

    @property
    def first(self) -> StoredEvent | None:
        """The first event that is not done."""
        waiting = self.hand or self.queue
        return waiting[0].stored if waiting else None

    def is_awaited(self, position: int) -> bool:
        """Return whether a stored checkpoint is all that is missing for *position*."""
        return self.is_behind and self.stored.position < position <= self.dealt_to.position

    @property
    def is_behind(self) -> bool:
        """Whether its checkpoint is behind, or does not say which event it has behind it, while
        all is done."""
        stored, dealt_to = self.stored, self.dealt_to
        return (
            self.idle
            and not self.leaving
            and not self.storing
            and (
                stored.position < dealt_to.position
                or (
                    stored.event_id is None
                    and stored.position == dealt_to.position > 0
                    and dealt_to.event_id is not None
                )
            )
        )

    def deal(self, arrivals: Sequence[Arrival], queue_max: int) -> int:
        """Queue the first of *arrivals* of a page, whole stored events, as far as there is room.

        Return how many, if there is no room for more than *queue_max* in the queue, nor for more
        than may be in flight.
        """
        if arrivals[0].preceding is None:
            # The first of its page. What was dealt before it is what precedes it here.
            for arrival in next(groups(arrivals)):
                arrival.preceding = self._last
        room = queue_max - len(self.queue)
        if len(arrivals) > room:
            arrivals = _whole(arrivals, room)
        count = self._flight.add(arrivals, [len(one.stored.data) for one in arrivals])
        if count:
            self.queue.extend(arrivals if count == len(arrivals) else arrivals[:count])
            last = self.queue[-1]
            self._last = last.stored
            if last.event_id != last.stored.id:  # A part of it.
                self._last = msgspec.structs.replace(last.stored, id=last.event_id)
        return count

    def take(self, limit: int, *, upto: int | None, guards: tuple[RowGuard, ...]) -> Batch | None:
        """Take up to *limit* arrivals in hand, none past position *upto*, whole stored events.

        None: there is nothing to be had. What can't be decoded is not taken: `faulted`.
        """
        queue, holds = self.queue, self.failures.holds
        hand = self.hand = self._next(limit, upto)
        if not hand:
            return None
        arrivals = [arrival for arrival in hand if not holds(arrival.key)]
        waiting: dict[int, list[Arrival]] = {}
        if len(arrivals) < len(hand):
            for arrival in hand:
                if holds(arrival.key):
                    waiting.setdefault(arrival.stored.position, []).append(arrival)
        held = self._hold_back(waiting) if waiting else []
        if self.blocked is not None:
            after = hand[-1].stored.position if hand else 0
            arrivals = [one for one in arrivals if one.stored.position <= after]
            if not hand:
                return None
        last = hand[-1]
        return Batch(
            self._subscription,
            self.number,
            arrivals,
            before=self.stored,
            scanned_to=Checkpoint(last.stored.position, last.event_id) if queue else self.dealt_to,
            guards=guards,
            token=self.token,
            held=held,
        )

    def _next(self, limit: int, upto: int | None) -> list[Arrival]:
        """Take the next arrivals out of the queue; see `take`."""
        queue = self.queue
        count = position = 0
        for arrival in queue:
            previous, position = position, arrival.stored.position
            if (
                (upto is not None and position > upto)
                or arrival.fault is not None
                or (count >= limit and position != previous)
            ):
                break
            count += 1
        if count == len(queue):
            hand = list(queue)
            queue.clear()
            return hand
        return [queue.popleft() for _ in range(count)]

    def idle_move(self, guards: tuple[RowGuard, ...]) -> Batch:
        """Return a batch without arrivals that stores how far the partition is."""
        return Batch(
            self._subscription,
            self.number,
            (),
            before=self.stored,
            scanned_to=self.dealt_to,
            guards=guards,
            token=self.token,
        )

    @property
    def faulted(self) -> Sequence[Arrival]:
        """The next arrivals, if what they were made of can't be decoded."""
        if self.queue and self.queue[0].fault is not None:
            return (self.queue[0],)
        return ()

    @property
    def fault(self) -> Exception:
        """Why `faulted` could not be decoded."""
        fault = self.queue[0].fault
        return fault if fault is not None else RuntimeError("it can be decoded")

    def settle(self) -> None:
        """Let go of what is in hand up to the checkpoint, and put the rest back."""
        after = self.stored.position
        hand, self.hand = self.hand, []
        if not hand or hand[-1].stored.position <= after:
            self._flight.remove(hand)
            return
        done = [arrival for arrival in hand if arrival.stored.position <= after]
        self._flight.remove(done)
        self.queue.extendleft(reversed(hand[len(done) :]))

    def pass_over(self) -> None:
        """Let go of what is queued up to the checkpoint: it is kept elsewhere."""
        done: list[Arrival] = []
        while self.queue and self.queue[0].stored.position <= self.stored.position:
            done.append(self.queue.popleft())
        self._flight.remove(done)

    def drop(self) -> None:
        """Let go of all that is queued, undone; of what is in hand `settle` puts nothing back."""
        self._flight.remove(self.queue)
        self._flight.remove(self.hand)
        self.queue, self.hand = deque(), []

    def _hold_back(self, waiting: dict[int, list[Arrival]]) -> list[HeldBack]:
        held: list[HeldBack] = []
        for position, arrivals in waiting.items():
            try:
                held.append(self.failures.hold_back(arrivals))
            except HeldLimitError as limit:
                self.blocked = limit
                rest = [one for one in self.hand if one.stored.position >= position]
                del self.hand[len(self.hand) - len(rest) :]
                self.queue.extendleft(reversed(rest))
                break
        return held


def _whole(arrivals: Sequence[Arrival], count: int) -> Sequence[Arrival]:
    """Return the first *count* of *arrivals*, or fewer, so that no stored event is parted."""
    while 0 < count < len(arrivals) and (
        arrivals[count].stored.position == arrivals[count - 1].stored.position
    ):
        count -= 1
    return arrivals[: max(0, count)]
