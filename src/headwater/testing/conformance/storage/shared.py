"""Two storages on the same data, as two processes have them, share its subscriptions and rows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from headwater.errors import ConfigurationError, LeaseLostError
from headwater.ports.changes import Changes, CheckpointMove, RowGuard
from headwater.ports.leases import Checkpoint, Share
from headwater.ports.rows import CollectionSpec, RowQuery
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import append, new_event, row, writing
from headwater.testing.conformance.leases.suite import (
    SHORT_SECONDS,
    LeasesSuite,
    held,
    lease,
    moving,
    owners,
    places,
    tokens,
)
from headwater.testing.conformance.suite import UnsteadyClock

NOTES = CollectionSpec("notes", ("id",))
PARTITIONS = 6
STEPS = 12


class Mover:
    """A worker that moves checkpoints by one, and knows where they stand as long as it has them."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name
        self._at: dict[int, int] = {}
        self.moved: list[int] = []
        self.lost = 0

    async def lease(self, seconds: float) -> Share:
        """Ask for what is due."""
        share = await lease(self._storage, self._name, seconds=seconds)
        for one in share.leases:
            # Under one token nobody else moves it, so that what is told is what is known.
            at = self._at.setdefault(one.token, one.checkpoint.position)
            assert one.checkpoint.position == at
        return share

    async def move(self, share: Share) -> None:
        """Move each checkpoint of *share* by one, with an event, or find the lease lost."""
        for one in share.leases:
            at = self._at[one.token]
            move = CheckpointMove("totals", one.partition, at, at + 1, None, one.token)
            changes = Changes(appends=(append("moves-1", new_event()),), checkpoints=(move,))
            try:
                await self._storage.commit(changes)
            except LeaseLostError:
                self.lost += 1
            else:
                self._at[one.token] += 1
                self.moved.append(one.partition)


class SharedConformance(LeasesSuite):
    """What holds between storages that say they can be shared.

    A subclass says with `another_storage` how to make a second one on the data of `storage`.
    """

    @pytest.fixture
    def another_storage(self, storage: Storage) -> Storage:
        """Return another storage on what *storage* keeps, not yet open."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `another_storage`.")

    @pytest.fixture
    async def other(self, another_storage: Storage) -> AsyncIterator[Storage]:
        """The second storage, open."""
        await another_storage.open()
        yield another_storage
        await another_storage.close()

    async def test_what_one_has_leased_the_other_does_not_take(
        self, storage: Storage, other: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = await lease(storage, "a")

        theirs = await lease(other, "b")
        await storage.release_partitions("a", "totals", [1])
        later = await lease(other, "b")

        assert (held(theirs), theirs.fair, theirs.workers) == ([], 1, 2)
        assert held(later) == [1]
        assert tokens(later)[1] > tokens(mine)[1]
        assert await owners(storage) == await owners(other) == ["a", "b"]

    async def test_a_token_that_was_lost_to_the_other_moves_nothing(
        self, storage: Storage, other: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        old = tokens(await lease(storage, "a", seconds=SHORT_SECONDS))[0]
        await self.run_out(storage, clock)
        new = tokens(await lease(other, "b"))[0]

        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 0, 7, token=old))

        await other.commit(moving(0, 0, 8, token=new))
        assert await places(storage) == [8]

    async def test_what_one_revokes_the_other_has_lost(
        self, storage: Storage, other: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)

        for revoke in (
            lambda: other.reset_subscription("totals", to=Checkpoint(0)),
            lambda: other.repartition("totals", partitions=1),
            lambda: other.release_partitions("a", "totals"),
            lambda: other.drop_subscription("totals"),
        ):
            mine = tokens(await lease(storage, "a"))[0]
            await revoke()
            with pytest.raises(LeaseLostError):
                await storage.commit(moving(0, 0, 7, token=mine))

    async def test_workers_of_both_never_move_one_checkpoint_under_two_tokens(
        self, storage: Storage, other: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=PARTITIONS, start_after=0)
        movers = [Mover(each, f"worker-{n}") for n, each in enumerate([storage, other] * 2)]

        async def work(mover: Mover) -> None:
            for _ in range(STEPS):
                first = await mover.lease(SHORT_SECONDS)
                await mover.move(first)
                clock.advance(SHORT_SECONDS)
                await mover.move(await mover.lease(0.001))
                await mover.move(first)

        await asyncio.gather(*(work(mover) for mover in movers))

        moved = Counter(partition for mover in movers for partition in mover.moved)
        assert await places(storage) == [moved[number] for number in range(PARTITIONS)]
        assert len(await storage.read_stream("moves-1")) == moved.total() > 0
        # Where time is a server's, none may have come between a lease's end and its next use.
        assert any(mover.lost for mover in movers) or not self.takes_time_from_clock

    async def test_a_collection_that_the_other_dropped_is_refused_as_if_not_prepared(
        self, storage: Storage, other: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        await storage.commit(writing(row("notes", "1")))
        await other.drop_collection("notes")

        event = append("order-1", new_event())
        with pytest.raises(ConfigurationError, match="notes"):
            await storage.commit(Changes(appends=(event,), rows=(row("notes", "1"),)))
        with pytest.raises(ConfigurationError, match="notes"):
            await storage.commit(Changes(appends=(event,), guards=(RowGuard("notes", "1", 0),)))
        with pytest.raises(ConfigurationError, match="notes"):
            await storage.get_rows("notes", ["1"])
        with pytest.raises(ConfigurationError, match="notes"):
            await storage.find_rows("notes", RowQuery())
        with pytest.raises(ConfigurationError, match="notes"):
            await storage.count_rows("notes")

        assert await storage.head() == 0
        assert list(await storage.collections()) == []
        await storage.prepare_collections([NOTES])
        await storage.commit(writing(row("notes", "2", expected=0)))
        assert await storage.count_rows("notes") == 1
