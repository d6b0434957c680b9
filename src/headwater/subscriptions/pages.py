"""Pages: one page of the log dealt to partitions, worked, and blamed on the right event."""

from collections.abc import Sequence

from headwater.errors import (
    CheckpointConflictError,
    DuplicateValueError,
    IdempotencyConflictError,
    StorageError,
    SubscriptionFailedError,
)
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.log import LogPage
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.subscription import (
    Arrival,
    Batch,
    Consumer,
    Subscription,
    Worked,
    partition_of,
)

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
        self.checkpoints: list[int] = []

    async def load(self, *, head: int) -> None:
        """Load the checkpoints; a new subscription is stored, from *head* if it starts there."""
        self.checkpoints = list(
            await self._target.open_subscription(
                self._subscription.name,
                partitions=self._subscription.partitions,
                start_after=head if self._subscription.from_now else 0,
            )
        )

    async def work(self, page: LogPage) -> int:
        """Work *page*; return the position up to which everything is committed now.

        Raises:
            SubscriptionFailedError: an event failed; what came before it is committed.
            CheckpointConflictError: another worker has moved a checkpoint; load them again.
        """
        arrivals, scanned_to, failure = self._decode(page)
        batches = self._deal(arrivals, scanned_to)
        failed = await self._work(batches) if batches else None
        failed = failed or failure
        if failed is not None:
            await self._check_not_outrun(failed[0].partition)
            raise self._failure(*failed)
        return scanned_to

    async def store_idle(self, scanned_to: int, *, behind_min: int) -> None:
        """Move the checkpoints that stand *behind_min* or more behind *scanned_to* there.

        Only for a position up to which everything is committed.
        """
        moves = tuple(
            CheckpointMove(self._subscription.name, partition, checkpoint, scanned_to)
            for partition, checkpoint in enumerate(self.checkpoints)
            if scanned_to - checkpoint >= behind_min
        )
        if moves:
            await self._target.commit(Changes(checkpoints=moves))
            for move in moves:
                self.checkpoints[move.partition] = scanned_to

    def _decode(self, page: LogPage) -> tuple[list[Arrival], int, _Failure | None]:
        arrivals: list[Arrival] = []
        for stored in page.events:
            arrival = Arrival(stored, None)
            try:
                arrived: list[Arrival] = []
                # What was made of one event is taken over as a whole or not at all.
                for part, payload in self._codec.read(stored):
                    if part is stored or self._takes(part.type):
                        arrived.append(arrival := Arrival(part, payload))
                        arrival.key = self._consumer.key_of(arrival)
                        arrival.partition = partition_of(arrival.key, len(self.checkpoints))
            except Exception as error:  # noqa: BLE001 - told after what comes before it
                return arrivals, stored.position - 1, (arrival, error)
            arrivals += arrived
        return arrivals, page.scanned_to, None

    def _takes(self, type: str) -> bool:
        return not self._subscription.takes or type in self._subscription.takes

    def _deal(self, arrivals: Sequence[Arrival], scanned_to: int) -> list[Batch]:
        dealt: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            if arrival.stored.position > self.checkpoints[arrival.partition]:
                dealt.setdefault(arrival.partition, []).append(arrival)
        name = self._subscription.name
        return [
            Batch(name, p, batch, before=self.checkpoints[p], scanned_to=scanned_to)
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
                if outcome.failure is not None:
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

    async def _check_not_outrun(self, partition: int) -> None:
        """Lay nothing to an event that another worker has done meanwhile.

        Its effects may be what made ours fail.
        """
        stored = await self._target.open_subscription(
            self._subscription.name, partitions=len(self.checkpoints), start_after=0
        )
        if stored[partition] != self.checkpoints[partition]:
            raise CheckpointConflictError(
                self._subscription.name,
                partition,
                expected=self.checkpoints[partition],
                actual=stored[partition],
            )

    def _failure(self, arrival: Arrival, error: Exception) -> SubscriptionFailedError:
        stored = arrival.stored
        text = str(error).rstrip(".")
        problem = f"{type(error).__name__}: {text} (event {stored.type} of {stored.stream_id})"
        failure = SubscriptionFailedError(
            self._subscription.name, position=stored.position, problem=problem
        )
        failure.__cause__ = error
        return failure


def _lies_in_an_event(error: Exception) -> bool:
    """Return whether a commit was refused for what a handler wanted to write, not by chance."""
    return isinstance(error, DuplicateValueError | IdempotencyConflictError) or not isinstance(
        error, StorageError
    )
