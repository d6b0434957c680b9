"""How far consumers came: checkpoints, receipts, and the deadline of a commit."""

from datetime import timedelta

import pytest

from headwater.clock import microseconds_since_epoch
from headwater.errors import (
    CheckpointConflictError,
    DeadlineExceededError,
    IdempotencyConflictError,
    ReceiptExistsError,
)
from headwater.ports.changes import Changes, CheckpointMove, NewReceipt
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage, StoredReceipt
from headwater.testing.conformance.builders import (
    append,
    appending,
    as_uuid,
    id_bytes,
    new_event,
    new_events,
)
from headwater.testing.conformance.suite import FAR_FUTURE_US, StorageSuite, UnsteadyClock


def moving(
    partition: int, expected: int, to: int, event_id: bytes | None = None, *, of: str = "totals"
) -> Changes:
    """Return changes that move one checkpoint."""
    return Changes(checkpoints=(CheckpointMove(of, partition, expected, to, event_id),))


async def checkpoints(storage: Storage, subscription: str = "totals") -> list[int]:
    """Return where the partitions of a subscription stand."""
    opened = await storage.open_subscription(subscription, partitions=1, start_after=0)
    return [checkpoint.position for checkpoint in opened]


class ProgressConformance(StorageSuite):
    """Checkpoints move by compare-and-set; a message has one outcome; a deadline ends it."""

    async def test_a_subscription_starts_each_partition_where_it_was_told_to(
        self, storage: Storage
    ) -> None:
        opened = await storage.open_subscription("totals", partitions=3, start_after=17)

        assert list(opened) == [Checkpoint(17)] * 3

    async def test_the_stored_number_of_partitions_wins_over_a_later_one(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=17)
        await storage.commit(moving(1, 17, 20))

        for partitions in (1, 3, 16):
            opened = await storage.open_subscription(
                "totals", partitions=partitions, start_after=99
            )
            assert [one.position for one in opened] == [17, 20, 17]

    async def test_subscriptions_do_not_know_of_each_other(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await storage.open_subscription("tot", partitions=2, start_after=5)
        await storage.commit(moving(0, 0, 9))

        assert (await checkpoints(storage), await checkpoints(storage, "tot")) == ([9], [5, 5])

    @pytest.mark.parametrize(("partitions", "start_after"), [(0, 0), (1025, 0), (1, -1)])
    async def test_a_number_of_partitions_or_a_start_out_of_range_is_refused(
        self, storage: Storage, partitions: int, start_after: int
    ) -> None:
        with pytest.raises(ValueError, match=str(partitions)):
            await storage.open_subscription(
                "totals", partitions=partitions, start_after=start_after
            )

    async def test_a_subscription_can_have_1024_partitions(self, storage: Storage) -> None:
        opened = await storage.open_subscription("totals", partitions=1024, start_after=0)
        await storage.commit(moving(1023, 0, 5))

        assert len(opened) == 1024
        assert (await checkpoints(storage))[-1] == 5

    async def test_a_checkpoint_moves_from_where_it_is_expected(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)

        await storage.commit(
            Changes(
                checkpoints=(
                    CheckpointMove("totals", 0, 0, 7),
                    CheckpointMove("totals", 1, 0, 8),
                    CheckpointMove("totals", 0, 7, 9),
                )
            )
        )

        assert await checkpoints(storage) == [9, 8]

    async def test_a_checkpoint_keeps_the_id_of_the_event_where_it_stands(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=5)
        first, second = id_bytes(), id_bytes()

        await storage.commit(moving(0, 5, 7, first))
        await storage.commit(moving(1, 5, 7, first))
        await storage.commit(moving(1, 7, 9))
        await storage.commit(moving(2, 5, 5, second))

        assert list(await storage.open_subscription("totals", partitions=1, start_after=0)) == [
            Checkpoint(7, first),
            Checkpoint(9, None),
            Checkpoint(5, second),
        ]

    async def test_of_two_moves_in_one_value_the_id_of_the_second_is_kept(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        first, second = id_bytes(), id_bytes()

        await storage.commit(
            Changes(
                checkpoints=(
                    CheckpointMove("totals", 0, 0, 7, first),
                    CheckpointMove("totals", 0, 7, 9, second),
                )
            )
        )

        opened = await storage.open_subscription("totals", partitions=1, start_after=0)
        assert list(opened) == [Checkpoint(9, second)]

    async def test_a_refused_commit_leaves_a_checkpoint_its_id(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        event_id = id_bytes()
        await storage.commit(moving(0, 0, 7, event_id))

        with pytest.raises(CheckpointConflictError):
            await storage.commit(moving(0, 0, 7, id_bytes()))

        opened = await storage.open_subscription("totals", partitions=1, start_after=0)
        assert list(opened) == [Checkpoint(7, event_id)]

    async def test_a_checkpoint_that_stands_elsewhere_refuses_the_commit(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=3)

        with pytest.raises(CheckpointConflictError) as refusal:
            await storage.commit(moving(1, 2, 7))

        told = refusal.value
        assert (told.subscription, told.partition) == ("totals", 1)
        assert (told.expected, told.actual) == (2, 3)
        assert await checkpoints(storage) == [3, 3]

    @pytest.mark.parametrize("partition", [-1, 2])
    @pytest.mark.parametrize("expected", [-1, 0])
    async def test_a_partition_that_is_not_there_refuses_the_commit(
        self, storage: Storage, partition: int, expected: int
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)

        with pytest.raises(CheckpointConflictError) as refusal:
            await storage.commit(moving(partition, expected, 7))

        assert refusal.value.actual == -1

    async def test_a_subscription_that_was_not_opened_refuses_the_commit(
        self, storage: Storage
    ) -> None:
        with pytest.raises(CheckpointConflictError) as refusal:
            await storage.commit(moving(0, 0, 7))

        assert (refusal.value.subscription, refusal.value.actual) == ("totals", -1)

    async def test_a_receipt_keeps_what_came_of_a_message_and_where(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))
        message = id_bytes()
        receipt = NewReceipt("orders", message, b"digest", '{"order":"ü"}')

        await storage.commit(
            Changes(appends=(append("order-1", *new_events(2)),), receipts=(receipt,))
        )

        stored = await storage.receipt("orders", message)
        assert stored == StoredReceipt(b"digest", '{"order":"ü"}', 3)

    async def test_a_receipt_of_a_commit_without_events_has_position_0(
        self, storage: Storage
    ) -> None:
        message = id_bytes()

        await storage.commit(Changes(receipts=(NewReceipt("orders", message, b"", "null"),)))

        assert await storage.receipt("orders", message) == StoredReceipt(b"", "null", 0)

    async def test_a_message_that_nothing_came_of_has_no_receipt(self, storage: Storage) -> None:
        message = id_bytes()
        await storage.commit(Changes(receipts=(NewReceipt("orders", message, b"d", "1"),)))

        assert await storage.receipt("orders", id_bytes()) is None
        assert await storage.receipt("order", message) is None

    async def test_a_message_that_was_handled_is_not_handled_again(self, storage: Storage) -> None:
        message = id_bytes()
        await storage.commit(Changes(receipts=(NewReceipt("orders", message, b"d", "1"),)))

        with pytest.raises(ReceiptExistsError) as refusal:
            await storage.commit(
                Changes(
                    appends=(append("order-1", new_event()),),
                    receipts=(NewReceipt("orders", message, b"d", "2"),),
                )
            )

        told = refusal.value
        assert (told.consumer, told.message_id) == ("orders", as_uuid(message))
        assert await storage.receipt("orders", message) == StoredReceipt(b"d", "1", 0)
        assert await storage.head() == 0

    async def test_another_message_under_the_same_id_is_a_conflict(self, storage: Storage) -> None:
        message = id_bytes()
        await storage.commit(Changes(receipts=(NewReceipt("orders", message, b"d", "1"),)))

        with pytest.raises(IdempotencyConflictError) as refusal:
            await storage.commit(Changes(receipts=(NewReceipt("orders", message, b"e", "1"),)))

        assert refusal.value.id == as_uuid(message)

    async def test_each_consumer_has_receipts_of_its_own(self, storage: Storage) -> None:
        message = id_bytes()

        for consumer in ("orders", "mail"):
            await storage.commit(Changes(receipts=(NewReceipt(consumer, message, b"d", "1"),)))

        assert await storage.receipt("mail", message) == StoredReceipt(b"d", "1", 0)

    async def test_the_same_receipt_twice_in_one_value_is_refused(self, storage: Storage) -> None:
        receipt = NewReceipt("orders", id_bytes(), b"d", "1")

        with pytest.raises(ReceiptExistsError):
            await storage.commit(Changes(receipts=(receipt, receipt)))

        assert await storage.receipt("orders", receipt.message_id) is None

    async def test_a_commit_within_its_deadline_is_done(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        deadline = FAR_FUTURE_US
        if self.takes_time_from_clock:
            deadline = microseconds_since_epoch(clock.now())

        await storage.commit(Changes(appends=(append("order-1", new_event()),), deadline=deadline))

        assert await storage.head() == 1

    async def test_a_commit_after_its_deadline_is_refused(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        deadline = microseconds_since_epoch(clock.now())
        clock.advance(timedelta(microseconds=1))

        with pytest.raises(DeadlineExceededError):
            await storage.commit(
                Changes(appends=(append("order-1", new_event()),), deadline=deadline)
            )

        assert await storage.head() == 0
