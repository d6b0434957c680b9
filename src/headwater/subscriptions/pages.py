"""Pages: one page of the log dealt to partitions, worked, and blamed on the right event."""

from collections.abc import Iterable, Sequence
from typing import Final

from headwater.errors import (
    CheckpointConflictError,
    DuplicateValueError,
    IdempotencyConflictError,
    KeyStoreError,
    KeyStoreUnavailableError,
    OutcomeUnknownError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
    SubscriptionFailedError,
)
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Checkpoint
from headwater.ports.log import LogPage, StoredEvent
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.cursor import position_of
from headwater.subscriptions.start import BEGINNING
from headwater.subscriptions.subscription import (
    Arrival,
    Batch,
    Consumer,
    Subscription,
    Worked,
    partition_of,
)
from headwater.subscriptions.type_list import TypeList

PASSING: Final = (
    KeyStoreUnavailableError,
    OutcomeUnknownError,
    StorageBusyError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
"""What may pass by itself, and is no event's fault: a server is away, or another takes over."""

_Failure = tuple[Arrival, Exception]


class Pages:
    """Works the pages of one subscription, and keeps the checkpoints of its partitions.

    After a failure every partition has its good prefix committed, and no checkpoint is past an
    event that was not worked.
    """

    def __init__(
        self, subscription: Subscription, consumer: Consumer, *, target: Storage, codec: EventCodec
    ) -> None:
        self._subscription, self._consumer = subscription, consumer
        self._target, self._codec = target, codec
        self.types = TypeList(subscription, target, codec)
        self.checkpoints: list[Checkpoint] = []

    async def load(self, *, start_after: int) -> bool:
        """Load the type list, then the checkpoints: nobody who lacks a type moves them then.

        A new subscription is stored, to begin after *start_after*.

        Return whether one has gone back meanwhile, or to another event: somebody has reset it.
        """
        await self.types.load()
        before = self.checkpoints
        stored = await self._target.open_subscription(
            self._subscription.name,
            partitions=self._subscription.partitions,
            start_after=self._start_after(start_after),
        )
        self.checkpoints = list(stored)
        return any(map(_was_reset, before, stored))

    def _start_after(self, start_after: int) -> int:
        """Return where the subscription starts if it is not stored: not yet, or no more.

        Its checkpoints may be lost under way. One that fills rows begins again then, as they may
        be lost too; one that did not begin at the beginning must not deliver what came before it,
        nor leave anything out.
        """
        if self._subscription.start == BEGINNING:
            return 0
        return self.lowest.position if self.checkpoints else start_after

    @property
    def lowest(self) -> Checkpoint:
        """The checkpoint of the partition that is furthest behind."""
        return min(self.checkpoints, key=position_of)

    async def check_not_outrun(self) -> None:
        """Pass if all checkpoints, and the type list, are in the storage what they are here.

        Raises:
            CheckpointConflictError: another worker has moved one, or somebody has reset it.
            RowConflictError: the type list has changed.
        """
        await self._check_not_outrun(range(len(self.checkpoints)))

    async def work(self, page: LogPage) -> Checkpoint:
        """Work *page*; return the place up to which everything is committed now.

        Raises:
            SubscriptionFailedError: an event failed; what came before it is committed.
            CheckpointConflictError: another worker has moved a checkpoint; load them again.
            RowConflictError: the type list has changed; load it again.
        """
        arrivals, scanned_to, failure = self._decode(page)
        batches = self._deal(arrivals, scanned_to)
        failed = None
        if batches:
            failed = await self._work(batches)
        elif failure is None:
            # No commit was guarded, and what was passed over may be another release's.
            await self.types.check_unchanged()
        failed = failed or failure
        if failed is not None:
            # Lay nothing to an event that another worker has done meanwhile: its effects may be
            # what made ours fail.
            await self._check_not_outrun((failed[0].partition,))
            raise self._failure(*failed)
        return scanned_to

    async def store_idle(self, reached: Checkpoint, *, behind_min: int) -> None:
        """Move the checkpoints that stand *behind_min* or more behind *reached* there.

        Those too whose event is not known yet. Only for a place up to which everything is
        committed.
        """
        moves = tuple(
            CheckpointMove(
                self._subscription.name,
                partition,
                expected=checkpoint.position,
                to=reached.position,
                event_id=reached.event_id,
            )
            for partition, checkpoint in enumerate(self.checkpoints)
            if reached.position - checkpoint.position >= behind_min
            or _can_be_named(checkpoint, reached)
        )
        if moves and not self.types.missing:
            await self._target.commit(Changes(guards=self.types.guards, checkpoints=moves))
            for move in moves:
                self.checkpoints[move.partition] = reached

    def _decode(self, page: LogPage) -> tuple[list[Arrival], Checkpoint, _Failure | None]:
        arrivals: list[Arrival] = []
        preceding: StoredEvent | None = None
        read, key_of = self._codec.read, self._consumer.key_of
        takes, partitions = self._subscription.takes, len(self.checkpoints)
        for stored in page.events:
            before, arrival = len(arrivals), None
            try:
                for part, payload in read(stored):
                    if not takes or part.type in takes:
                        arrivals.append(arrival := Arrival(part, payload))
                        arrival.preceding = preceding
                        arrival.key = key = key_of(arrival)
                        arrival.partition = partition_of(key, partitions)
            except Exception as error:  # noqa: BLE001 - told after what comes before it
                # What was made of one event is taken over as a whole or not at all.
                del arrivals[before:]
                # Nothing arrived where nothing precedes, so that this moves no checkpoint.
                reached = (
                    Checkpoint(preceding.position, preceding.id) if preceding else Checkpoint(0)
                )
                return arrivals, reached, (arrival or Arrival(stored, None), error)
            preceding = stored
        return arrivals, Checkpoint(page.scanned_to, page.event_id), None

    def _deal(self, arrivals: Sequence[Arrival], scanned_to: Checkpoint) -> list[Batch]:
        dealt: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            if arrival.stored.position > self.checkpoints[arrival.partition].position:
                dealt.setdefault(arrival.partition, []).append(arrival)
        name = self._subscription.name
        return [
            Batch(
                name,
                p,
                batch,
                before=self.checkpoints[p],
                scanned_to=scanned_to,
                guards=self.types.guards,
            )
            for p, batch in dealt.items()
        ]

    async def _work(self, batches: Sequence[Batch]) -> _Failure | None:
        """Work *batches*; return the first failure in the order of the log."""
        await self._consumer.prepare([a for batch in batches for a in batch.arrivals])
        failures: list[_Failure] = []
        refused: list[Batch] = []
        error: BaseException | None = None
        outcomes = await self._consumer.work(batches)
        for batch, outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, Worked):
                self.checkpoints[batch.partition] = batch.reached(outcome)
                if isinstance(outcome.failure, PASSING):
                    error = error or outcome.failure
                elif outcome.failure is not None:
                    failures.append((batch.arrivals[outcome.done], outcome.failure))
            elif not isinstance(outcome, Exception) or not _lies_in_an_event(outcome):
                error = error or outcome
            elif batch.single and sum(other is outcome for other in outcomes) == 1:
                failures.append((batch.arrivals[0], outcome))
            else:
                # The commit was refused for one event of the batch, or of those it was shared with.
                refused.append(batch)
        if error is not None:
            raise error
        for batch in refused:
            failure = await self._work_singly(batch)
            if failure is not None:
                failures.append(failure)
        return min(failures, key=lambda each: each[0].stored.position, default=None)

    async def _work_singly(self, batch: Batch) -> _Failure | None:
        """Find the event for whose fault a whole batch was refused; do what comes before it."""
        for single in batch.singly():
            failure = await self._work((single,))
            if failure is not None:
                return failure
        return None

    async def _check_not_outrun(self, partitions: Iterable[int]) -> None:
        stored = await self._target.open_subscription(
            self._subscription.name,
            partitions=len(self.checkpoints),
            start_after=self._start_after(0),
        )
        for partition in partitions:
            expected, actual = self.checkpoints[partition].position, stored[partition].position
            if expected != actual:
                raise CheckpointConflictError(
                    self._subscription.name, partition, expected=expected, actual=actual
                )
        await self.types.check_unchanged()

    def _failure(self, arrival: Arrival, error: Exception) -> SubscriptionFailedError:
        stored = arrival.stored
        text = str(error).rstrip(".")
        problem = f"{type(error).__name__}: {text} (event {stored.type} of {stored.stream_id})"
        failure = SubscriptionFailedError(
            self._subscription.name, position=stored.position, problem=problem
        )
        failure.__cause__ = error
        return failure


def _was_reset(ours: Checkpoint, stored: Checkpoint) -> bool:
    return stored.position < ours.position or (
        stored.position == ours.position and ours.event_id not in (None, stored.event_id)
    )


def _can_be_named(checkpoint: Checkpoint, reached: Checkpoint) -> bool:
    """Return whether only now it is known which event *checkpoint* has behind it."""
    return (
        checkpoint.event_id is None
        and 0 < checkpoint.position <= reached.position
        and reached.event_id is not None
    )


def _lies_in_an_event(error: Exception) -> bool:
    """Return whether a commit was refused for what a handler wanted to write, not by chance."""
    return isinstance(error, DuplicateValueError | IdempotencyConflictError) or not isinstance(
        error, StorageError | KeyStoreError
    )
