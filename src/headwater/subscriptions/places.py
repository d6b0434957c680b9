"""Where all partitions of a subscription stand: its own by what it does, others' by looking."""

from collections.abc import Collection, Sequence

from headwater.clock import Clock, microseconds_since_epoch
from headwater.errors import CheckpointConflictError, ConfigurationError
from headwater.operations.dead_letters.waiting import HeldUpTo, held_up_to
from headwater.ports.leases import Checkpoint
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.condition import Condition
from headwater.subscriptions.control import ControlRow
from headwater.subscriptions.cursor import Cursor, position_of
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.session import Session
from headwater.subscriptions.start import BEGINNING
from headwater.subscriptions.status import SubscriptionStatus
from headwater.subscriptions.subscription import Subscription


class Places:
    """Knows the stored checkpoints, verifies them with the log, and tells `progress` of them."""

    def __init__(
        self,
        subscription: Subscription,
        progress: Progress,
        *,
        log: Log,
        target: Storage,
        codec: EventCodec,
    ) -> None:
        self._subscription, self._progress = subscription, progress
        self._log, self._target = log, target
        self.control = ControlRow(subscription, target, codec)
        self.cursor = Cursor(log, f"Subscription {subscription.name!r}")
        self.checkpoints: list[Checkpoint] = []
        self.owners: list[str | None] = []
        self.session: Session | None = None
        self.may_be_lost = False
        """Whether somebody may have removed the checkpoints."""
        self._read_to = Checkpoint(0)

    # ------------------------------------------------------------------------- loading

    async def open(self) -> int:
        """Load and verify the checkpoints, whatever was before; return the head of the log.

        Raises:
            LogRewoundError: the log is not the one in which a checkpoint was set.
        """
        _, head = await self.load()
        self._read_to = self.lowest
        return head

    async def load(self) -> tuple[bool, int]:
        """Load the control row, then the checkpoints: nobody who lacks a type moves them then.

        A new subscription is stored; but not one that is retired, which may have been dropped.
        Return whether a checkpoint has gone back meanwhile, or to another event, so that somebody
        has reset it; and the head of the log.

        Raises:
            LogRewoundError: the log is not the one in which a checkpoint was set.
        """
        await self.control.load()
        before = self.checkpoints
        stored = await self._stored()
        self.checkpoints, self.may_be_lost = list(stored), False
        # After the checkpoints: another process may have moved one meanwhile.
        head = await self._log.head()
        await self.cursor.verify(self.checkpoints, head=head)
        reset = len(before) == len(stored) and any(map(_was_reset, before, stored))
        if reset:
            self._read_to = self.lowest
        self.update()
        return reset, head

    async def load_again(self) -> tuple[bool, int]:
        """Load as `load`, after it is verified that the log is still the one that was read.

        What looks like a reset may have come with a log that was rewound.

        Raises:
            LogRewoundError: it is another.
        """
        await self.cursor.verify((self._read_to,), head=await self._log.head())
        return await self.load()

    async def check_unchanged(self) -> None:
        """Pass if all checkpoints, and the control row, are in the storage what they are here.

        Raises:
            CheckpointConflictError: another worker has moved one, or somebody has reset it.
            RowConflictError: the control row has changed.
        """
        await self.control.check_unchanged()
        name, stored = self._subscription.name, await self._stored()
        for partition, (ours, theirs) in enumerate(zip(self.checkpoints, stored, strict=False)):
            if ours.position != theirs.position:
                raise CheckpointConflictError(
                    name, partition, expected=ours.position, actual=theirs.position
                )

    async def _stored(self) -> Sequence[Checkpoint]:
        if self.control.stored.retired:
            return self.checkpoints or [Checkpoint(0)] * self._subscription.partitions
        return await self._target.open_subscription(
            self._subscription.name,
            partitions=self._subscription.partitions,
            start_after=await self._start_after(),
        )

    async def _start_after(self) -> int:
        """Return where the subscription starts if it is not stored: not yet, or no more.

        Its checkpoints may be lost under way. One that fills rows begins again then, as they may
        be lost too; one that did not begin at the beginning must not deliver what came before it,
        nor leave anything out.
        """
        if self._subscription.start == BEGINNING:
            return 0
        if self.checkpoints:
            return self.lowest.position
        return await self._subscription.start.after(self._log)

    # ------------------------------------------------------------------------ standing

    @property
    def lowest(self) -> Checkpoint:
        """The checkpoint of the partition that is furthest behind."""
        return min(self.checkpoints, key=position_of)

    @property
    def all_ours(self) -> bool:
        """Whether all partitions are worked in this process."""
        session = self.session
        return session is not None and len(session.partitions) == len(self.checkpoints)

    async def held_up_to(self, position: int) -> HeldUpTo:
        """Return what is held up to *position*: as the lanes know it, or else as it is stored."""
        partitions = tuple(self.session.partitions.values()) if self.session is not None else ()
        if not self.all_ours or not all(one.loaded for one in partitions):
            return await held_up_to(self._target, self._subscription.name, position)
        parked = {key for one in partitions for key in one.failures.parked(position)}
        pending = any(one.failures.pending(position) for one in partitions)
        return HeldUpTo(tuple(sorted(parked)), pending)

    def all_at(self, position: int | None) -> bool:
        """Return whether all partitions have come to where they are to stop, if they are."""
        return position is not None and all(
            checkpoint.position >= position for checkpoint in self.checkpoints
        )

    def update(self) -> bool:
        """Take over the checkpoints that were moved here; return whether all are further."""
        if self.session is not None:
            for number, partition in self.session.partitions.items():
                self.checkpoints[number] = partition.stored
        position, before = self.lowest.position, self._progress.position
        if position != before:
            self._progress.move_to(position)
        return position > before

    def end_session(self) -> None:
        """Take over how far the session has come, which is at its end."""
        session = self.session
        if session is not None:
            self.update()
            self._read_to = max(self._read_to, session.read_to, key=position_of)
            self.session = None

    async def look(self) -> None:
        """Look where partitions stand that others work, and who does.

        Raises:
            StorageError: the storage can't be used.
        """
        try:
            states = await self._target.partition_states(self._subscription.name)
        except ConfigurationError:
            return  # Nobody has ever run it.
        ours: Collection[int] = ()
        if self.session is not None:
            ours = self.session.partitions
            if len(states) != len(self.checkpoints):
                # All its leases are of partitions that there are no more.
                self.session.hear_repartitioned()
                return
        if len(states) != len(self.checkpoints):
            self.checkpoints = [state.checkpoint for state in states]
        for state in states:
            if state.partition not in ours:
                self.checkpoints[state.partition] = state.checkpoint
        self.owners = [state.worker for state in states]
        self.update()

    def status(self, condition: Condition, *, clock: Clock, worker: str) -> SubscriptionStatus:
        """Return what is known right now; *worker* is this process's name."""
        positions = [checkpoint.position for checkpoint in self.checkpoints]
        owners = [*self.owners, *[None] * len(positions)][: len(positions)]
        reached = list(positions)
        first: list[tuple[int, int]] = []
        if self.session is not None:
            for number, partition in self.session.partitions.items():
                positions[number] = partition.stored.position
                reached[number], owners[number] = partition.reached, worker
                if (waiting := partition.first) is not None:
                    first.append((waiting.position, waiting.recorded_at))
        position = min(reached, default=self._progress.position)
        lag = 0.0 if position >= condition.head else None
        if first:
            lag = max(0.0, (microseconds_since_epoch(clock.now()) - min(first)[1]) / 1_000_000)
        return condition.status(position, positions, owners, lag_seconds=lag)


def _was_reset(ours: Checkpoint, stored: Checkpoint) -> bool:
    return stored.position < ours.position or (
        stored.position == ours.position and ours.event_id not in (None, stored.event_id)
    )
