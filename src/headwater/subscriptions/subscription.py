"""What a subscription is: its name, what it wants, and who consumes it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, Protocol
from zlib import crc32

import msgspec

from headwater.metadata import Recorded
from headwater.ports.changes import CheckpointMove, RowChange, RowGuard
from headwater.ports.leases import Checkpoint
from headwater.ports.log import EVERYTHING, LogFilter, StoredEvent
from headwater.serialization.envelope import recorded
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.start import BEGINNING, Start
from headwater.unit_of_work.advance import NO_ADVANCE, Advance

PARTITIONS: Final = 16
"""How many partitions a subscription gets when it is first opened, unless it says otherwise."""


class Subscription(msgspec.Struct, frozen=True):
    """A durable reader of the log.

    `partitions` counts only when the name is opened for the first time; then it is stored.
    `start` is where it begins when the name is opened for the first time.
    `page_events` is how many events are read, and so committed, at a time at most.
    `gather` is how a handler of lists wants them filled, None where it takes one event at a time.
    `takes` are the type names that it wants after upcasting: one stored event can become several
    of which it wants some. Empty: all that it reads.
    `reads` holds the newest schema version that this code can read of each stored type name among
    `wanted`; no worker may pass over one of them (`TypeList`). `passes` holds the same of names
    of which this code says that they become nothing, or something that is not wanted.
    """

    name: str
    wanted: LogFilter = EVERYTHING
    partitions: int = PARTITIONS
    start: Start = BEGINNING
    page_events: int = 2000
    gather: Batching | None = None
    takes: frozenset[str] = frozenset()
    reads: Mapping[str, int] = {}
    passes: Mapping[str, int] = {}


class Arrival:
    """An event that has been read and decoded; its record is made when somebody asks.

    If upcasters made it, `stored` is as if it had been stored that way (`EventCodec.read`).
    Several that were made of one event have its position, and follow on one another.
    `preceding` is what stands before it on its page as it is stored, whoever that is for.
    `attempts` is how often it was tried before, as far as that is kept; `tried` is that and how
    often it was since.
    `event_id` is the id of the event as it is stored; a part of it has another one.
    `fault` is why it could not be decoded, None if it could; no consumer sees one that could not.
    """

    __slots__ = (
        "_recorded",
        "attempts",
        "event_id",
        "fault",
        "key",
        "partition",
        "payload",
        "preceding",
        "stored",
        "tried",
    )

    def __init__(
        self, stored: StoredEvent, payload: object, fault: Exception | None = None
    ) -> None:
        self.stored, self.payload, self.fault = stored, payload, fault
        self.event_id = stored.id
        self.key, self.partition = "", 0
        self.attempts = self.tried = 0
        self.preceding: StoredEvent | None = None
        self._recorded: Recorded[Any] | None = None

    @property
    def recorded(self) -> Recorded[Any]:
        """The event with its id, times, context and place in the log."""
        if self._recorded is None:
            self._recorded = recorded(self.stored, self.payload)
        return self._recorded


class Worked(msgspec.Struct, frozen=True):
    """How far a batch came: `done` events from its start; `failure` if the next one failed.

    What came before a failure was done, except for those made of the same stored event.
    """

    done: int
    failure: Exception | None = None


class HeldBack(msgspec.Struct, frozen=True):
    """An event that is not handed over now, and the rows that keep its place: they must be written
    by the commit that moves the checkpoint past `position`."""

    position: int
    rows: tuple[RowChange, ...]


class Batch:
    """Events of one partition, in order, and where its checkpoint goes with them.

    The commit that moves it carries `guards` and the lease's `token`. `held` are events between
    them that wait. `settles` are rows to write when all arrivals are done.
    """

    __slots__ = (
        "_before",
        "_scanned_to",
        "_subscription",
        "arrivals",
        "guards",
        "held",
        "partition",
        "settles",
        "token",
    )

    def __init__(
        self,
        subscription: str,
        partition: int,
        arrivals: Sequence[Arrival],
        *,
        before: Checkpoint,
        scanned_to: Checkpoint,
        guards: tuple[RowGuard, ...] = (),
        token: int | None = None,
        held: Sequence[HeldBack] = (),
        settles: tuple[RowChange, ...] = (),
    ) -> None:
        """Move the checkpoint from *before* to *scanned_to* when all *arrivals* are done."""
        self._subscription, self.partition = subscription, partition
        self.arrivals, self.guards, self.token = arrivals, guards, token
        self.held, self.settles = held, settles
        self._before, self._scanned_to = before, scanned_to

    @property
    def before(self) -> Checkpoint:
        """Where the checkpoint stands as long as nothing of this is committed."""
        return self._before

    @property
    def single(self) -> bool:
        """Whether all arrivals were made of one stored event."""
        arrivals = self.arrivals
        return bool(arrivals) and (arrivals[0].stored.position == arrivals[-1].stored.position)

    def reached(self, worked: Worked) -> Checkpoint:
        """Return where the checkpoint stands after *worked*; never within a stored event."""
        if worked.failure is None:
            return self._scanned_to
        return self._up_to(self.arrivals[worked.done])

    def _up_to(self, arrival: Arrival) -> Checkpoint:
        """Return the last place before *arrival* at which it is known which event stands there."""
        preceding = arrival.preceding
        if preceding is None or preceding.position <= self._before.position:
            return self._before
        return Checkpoint(preceding.position, preceding.id)

    def advance(self, worked: Worked) -> Advance:
        """Return what must be committed together with the effects of what *worked* says was done.

        Under a token there always is a move, if only to where the checkpoint stands: without it
        the effects of a worker that lost its lease would be written.
        """
        before, to = self._before.position, self.reached(worked)
        if to.position == before and self.token is None:
            return NO_ADVANCE
        move = CheckpointMove(
            self._subscription, self.partition, before, to.position, to.event_id, self.token
        )
        rows = tuple(row for held in self.held if held.position <= to.position for row in held.rows)
        if worked.failure is None:
            rows += self.settles
        return Advance((move,), rows, self.guards)

    def groups(self) -> Iterator[Sequence[Arrival]]:
        """Yield the arrivals in order, those of one stored event together."""
        return groups(self.arrivals)

    def singly(self) -> Iterator["Batch"]:
        """Yield batches of one stored event each that together are this one."""
        before = self._before
        grouped = list(self.groups())
        for group, following in zip_longest(grouped, grouped[1:]):
            end = self._up_to(following[0]) if following is not None else self._scanned_to
            yield Batch(
                self._subscription,
                self.partition,
                group,
                before=before,
                scanned_to=end,
                guards=self.guards,
                token=self.token,
                held=[
                    held for held in self.held if before.position < held.position <= end.position
                ],
                settles=self.settles if following is None else (),
            )
            before = end


def groups(arrivals: Sequence[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Yield *arrivals* in order, those that were made of one stored event together."""
    begun = 0
    for n, arrival in enumerate(arrivals):
        following = arrivals[n + 1] if n + 1 < len(arrivals) else None
        if following is None or following.stored.position != arrival.stored.position:
            yield arrivals[begun : n + 1]
            begun = n + 1


Outcome = Worked | BaseException
"""What came of a batch; an exception if its commit was refused: then nothing was written."""


class Consumer(Protocol):
    """What a subscription feeds: a projection, a subscriber.

    `together`: the batches of all partitions are one commit, because nothing in them waits for
    anybody; otherwise each partition is worked on its own, and none waits for another.
    `keyed_by_stream`: the key is the stream, which is known also of what can't be decoded.
    """

    @property
    def together(self) -> bool: ...

    @property
    def keyed_by_stream(self) -> bool: ...

    def key_of(self, arrival: Arrival) -> str:
        """Return the key whose events stay in order; it picks the partition."""
        ...

    async def prepare(self, arrivals: Sequence[Arrival]) -> None:
        """Look at a whole page before its partitions are worked, to read ahead for them."""
        ...

    async def work(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        """Handle the batches of a page, one per partition, and return what came of each.

        Each is handled in order and up to the first event that fails; the effects of what came
        before are committed together with `Batch.advance`. If another worker
        has moved the checkpoint the outcome is a `CheckpointConflictError`, and a
        `RowConflictError` of the type list if that has changed.
        """
        ...


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of *key*: CRC-32 of its UTF-8 form, modulo *partitions*. For ever."""
    return crc32(key.encode()) % partitions
