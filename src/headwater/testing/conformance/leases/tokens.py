"""A commit under the token of a lease is refused whole as soon as the lease is another's."""

import pytest

from headwater.errors import (
    CheckpointConflictError,
    ConcurrencyError,
    LeaseLostError,
    ReceiptExistsError,
)
from headwater.ports.changes import Changes, CheckpointMove, Committed, NewReceipt
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    commit_all,
    id_bytes,
    new_event,
    row,
)
from headwater.testing.conformance.leases.suite import (
    LeasesSuite,
    lease,
    moving,
    places,
    tokens,
)

NOTES = CollectionSpec("notes", ("id",))


class TokensConformance(LeasesSuite):
    """What `CheckpointMove.token` promises."""

    async def test_a_checkpoint_moves_under_the_token_of_its_lease(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = tokens(await lease(storage, "a"))
        event_id = id_bytes()

        await storage.commit(
            Changes(
                checkpoints=(
                    CheckpointMove("totals", 1, 0, 7, None, mine[1]),
                    CheckpointMove("totals", 0, 0, 8, None, mine[0]),
                    CheckpointMove("totals", 1, 7, 9, event_id, mine[1]),
                )
            )
        )

        states = await storage.partition_states("totals")
        assert [one.checkpoint for one in states] == [Checkpoint(8), Checkpoint(9, event_id)]
        assert [(one.worker, one.token) for one in states] == [("a", mine[0]), ("a", mine[1])]

    async def test_under_another_token_nothing_is_written(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        await storage.prepare_collections([NOTES])
        mine = tokens(await lease(storage, "a"))

        for token in (0, -1, mine[0], mine[1] + 1):
            changes = Changes(
                appends=(append("order-1", new_event()),),
                rows=(row("notes", "1"),),
                checkpoints=(
                    CheckpointMove("totals", 0, 0, 5, None, mine[0]),
                    CheckpointMove("totals", 1, 0, 7, None, token),
                ),
                receipts=(NewReceipt("totals", id_bytes(), b"d", "null"),),
            )
            with pytest.raises(LeaseLostError) as refusal:
                await storage.commit(changes)
            assert (refusal.value.subscription, refusal.value.partition) == ("totals", 1)

        assert await storage.head() == 0
        assert await storage.count_rows("notes") == 0
        assert await places(storage) == [0, 0]

    async def test_a_partition_that_nobody_has_moves_under_no_token(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = tokens(await lease(storage, "a"))
        await storage.release_partitions("a", "totals", [0])

        for partition, token in ((0, mine[0]), (0, 0), (0, mine[1])):
            with pytest.raises(LeaseLostError):
                await storage.commit(moving(partition, 0, 7, token=token))

        await storage.commit(moving(1, 0, 7, token=mine[1]))

    @pytest.mark.parametrize("token", [0, 1])
    async def test_a_partition_that_was_never_leased_moves_under_no_token(
        self, storage: Storage, token: int
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)

        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 0, 7, token=token))

    async def test_a_token_counts_no_more_after_its_worker_released_and_leased_again(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        given: list[int] = []
        for _ in range(3):
            given.append(tokens(await lease(storage, "a"))[0])
            await storage.release_partitions("a", "totals", [0])
        given.append(tokens(await lease(storage, "a"))[0])

        for token in given[:-1]:
            with pytest.raises(LeaseLostError):
                await storage.commit(moving(0, 0, 7, token=token))

        assert given == sorted(set(given))
        await storage.commit(moving(0, 0, 7, token=given[-1]))

    async def test_who_needs_no_lease_moves_a_checkpoint_without_a_token(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        mine = tokens(await lease(storage, "a"))

        await storage.commit(moving(0, 0, 7, token=None))

        with pytest.raises(CheckpointConflictError):
            await storage.commit(moving(0, 0, 8, token=mine[0]))
        await storage.commit(moving(0, 7, 8, token=mine[0]))

    async def test_a_move_to_where_it_is_only_guards(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=7)
        mine = tokens(await lease(storage, "a"))[0]
        event_id = id_bytes()
        await storage.commit(moving(0, 7, 9, token=mine, event_id=event_id))

        guard = moving(0, 9, 9, token=mine, event_id=event_id).checkpoints
        await storage.commit(Changes(appends=(append("a-1", new_event()),), checkpoints=guard))

        with pytest.raises(CheckpointConflictError) as conflict:
            await storage.commit(moving(0, 7, 7, token=mine))
        assert (conflict.value.expected, conflict.value.actual) == (7, 9)
        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 9, 9, token=mine + 1))
        (state,) = await storage.partition_states("totals")
        assert state.checkpoint == Checkpoint(9, event_id)

    async def test_a_lost_lease_is_told_before_a_checkpoint_that_moved(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=3)
        mine = tokens(await lease(storage, "a"))

        with pytest.raises(LeaseLostError) as refusal:
            await storage.commit(
                Changes(
                    checkpoints=(
                        CheckpointMove("totals", 0, 99, 100, None, mine[0]),
                        CheckpointMove("totals", 1, 99, 100, None, mine[1] + 1),
                    )
                )
            )

        assert refusal.value.partition == 1

    async def test_a_lost_lease_is_told_after_a_receipt_and_before_the_log(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await storage.commit(appending("order-1", new_event()))
        lost = moving(0, 0, 7, token=5).checkpoints
        outrun = append("order-1", new_event(), expected=ExpectedVersion.no_stream())
        receipt = NewReceipt("totals", id_bytes(), b"d", "null")
        await storage.commit(Changes(receipts=(receipt,)))

        with pytest.raises(ReceiptExistsError):
            await storage.commit(Changes(checkpoints=lost, receipts=(receipt,)))
        with pytest.raises(LeaseLostError):
            await storage.commit(Changes(appends=(outrun,), checkpoints=lost))
        with pytest.raises(ConcurrencyError):
            await storage.commit(Changes(appends=(outrun,)))

    @pytest.mark.parametrize(
        ("subscription", "partition"), [("mail", 0), ("totals", 1), ("totals", -1)]
    )
    async def test_what_is_not_open_moves_under_no_token(
        self, storage: Storage, subscription: str, partition: int
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await lease(storage, "a")

        with pytest.raises(LeaseLostError) as refusal:
            await storage.commit(moving(partition, 0, 7, token=1, of=subscription))

        told = refusal.value
        assert (told.subscription, told.partition) == (subscription, partition)

    async def test_a_lost_lease_refuses_one_of_a_batch_and_not_the_others(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = tokens(await lease(storage, "a"))

        results = await commit_all(
            storage,
            [
                moving(0, 0, 1, token=mine[0]),
                moving(1, 0, 1, token=mine[0]),
                moving(0, 1, 2, token=mine[0]),
                moving(0, 1, 2, token=mine[0]),
                moving(1, 0, 5, token=mine[1]),
            ],
        )

        assert [type(one) for one in results] == [
            *(Committed, LeaseLostError, Committed, CheckpointConflictError, Committed),
        ]
        assert await places(storage) == [2, 5]
