"""The promises of `headwater.ports.administration`: look, repair, and let old things go."""

import asyncio
from datetime import timedelta

import pytest

from headwater.errors import CheckpointConflictError, ConfigurationError, IdempotencyConflictError
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.changes import Changes, CheckpointMove, Committed, NewReceipt
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    append,
    appending,
    changing,
    id_bytes,
    new_event,
    new_events,
    row,
    truncate,
    writing,
)
from headwater.testing.conformance.suite import FAR_FUTURE_US, StorageSuite, UnsteadyClock

USERS = CollectionSpec(
    "users", ("id", "email"), (IndexedField("email", IndexKind.TEXT, unique=True),)
)
NOTES = CollectionSpec("notes", ("id",))


def receiving(message_id: bytes, *, digest: bytes = b"d") -> Changes:
    """Return changes that do nothing but store a receipt."""
    return Changes(receipts=(NewReceipt("orders", message_id, digest, "null"),))


async def receipts_left(storage: Storage, ids: list[bytes]) -> list[int]:
    """Return the places of those *ids* for which there still is a receipt."""
    return [n for n, id in enumerate(ids) if await storage.receipt("orders", id) is not None]


async def write_until_reset(storage: Storage, begun: asyncio.Event) -> None:
    """Write a note with each step of a checkpoint, until somebody has reset it."""
    for at in range(200):
        move = CheckpointMove("notes", 0, at, at + 1)
        try:
            await storage.commit(Changes(rows=(row("notes", f"{at}"),), checkpoints=(move,)))
        except CheckpointConflictError:
            return
        begun.set()


class AdministrationConformance(StorageSuite):
    """What operators can rely on."""

    async def moment(self, storage: Storage, clock: UnsteadyClock) -> int:
        """Return a time of the storage's after all that was done and before all that comes."""
        clock.advance(timedelta(seconds=1))
        await storage.commit(appending("$moment-1", new_event()))
        (event,) = await storage.read_stream("$moment-1", backwards=True, limit=1)
        clock.advance(timedelta(seconds=1))
        return event.recorded_at

    # ------------------------------------------------------------------------ subscriptions

    async def test_all_subscriptions_that_were_opened_are_known_by_name(
        self, storage: Storage
    ) -> None:
        assert list(await storage.subscriptions()) == []
        await storage.open_subscription("totals", partitions=2, start_after=3)
        await storage.open_subscription("mail", partitions=1, start_after=0)
        event_id = id_bytes()
        move = CheckpointMove("totals", 1, 3, 9, event_id)
        await storage.commit(Changes(checkpoints=(move,)))

        assert list(await storage.subscriptions()) == [
            StoredSubscription("mail", (Checkpoint(0),)),
            StoredSubscription("totals", (Checkpoint(3), Checkpoint(9, event_id))),
        ]

    async def test_a_reset_sets_every_partition_wherever_it_stands(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=5)
        await storage.open_subscription("mail", partitions=1, start_after=5)
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 1, 5, 9),)))
        to = Checkpoint(7, id_bytes())

        await storage.reset_subscription("totals", to=to)

        assert list(await storage.open_subscription("totals", partitions=1, start_after=0)) == [
            *(to, to, to),
        ]
        mail = await storage.open_subscription("mail", partitions=1, start_after=0)
        assert list(mail) == [Checkpoint(5)]
        await storage.reset_subscription("totals", to=Checkpoint(0))
        totals = await storage.open_subscription("totals", partitions=1, start_after=0)
        assert list(totals) == [Checkpoint(0)] * 3

    async def test_a_worker_notices_a_reset_by_compare_and_set(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=5)
        await storage.reset_subscription("totals", to=Checkpoint(2))

        with pytest.raises(CheckpointConflictError) as refusal:
            await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 0, 5, 6),)))

        assert refusal.value.actual == 2
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 0, 2, 6),)))

    async def test_a_subscription_that_is_not_there_cannot_be_reset(self, storage: Storage) -> None:
        with pytest.raises(ConfigurationError, match="totals"):
            await storage.reset_subscription("totals", to=Checkpoint(0))

    # -------------------------------------------------------------------------- collections

    async def test_all_collections_that_were_prepared_are_known_by_name(
        self, storage: Storage
    ) -> None:
        assert list(await storage.collections()) == []

        await storage.prepare_collections([USERS, NOTES])

        assert list(await storage.collections()) == [NOTES, USERS]

    async def test_a_reset_deletes_all_rows_of_the_collections_it_names(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([USERS, NOTES])
        await storage.open_subscription("users", partitions=2, start_after=7)
        await storage.commit(writing(*(row("users", key, key) for key in "abc"), row("notes", "a")))
        before = await storage.get_rows("users", ["a"])

        deleted = await storage.reset_subscription("users", to=Checkpoint(0), clear=("users",))

        assert deleted == 3
        assert await storage.count_rows("users") == 0
        assert await storage.count_rows("notes") == 1
        (users,) = await storage.subscriptions()
        assert users.checkpoints == (Checkpoint(0),) * 2
        again = await storage.reset_subscription(
            "users", to=Checkpoint(0), clear=("notes", "users")
        )
        assert again == 1
        await storage.commit(writing(row("users", "a", "b", expected=0)))
        assert (await storage.get_rows("users", ["a"]))["a"].version != before["a"].version

    async def test_a_reset_that_is_refused_deletes_nothing(self, storage: Storage) -> None:
        await storage.prepare_collections([NOTES])
        await storage.open_subscription("notes", partitions=1, start_after=7)
        await storage.commit(writing(row("notes", "a")))

        with pytest.raises(ConfigurationError, match="users"):
            await storage.reset_subscription("notes", to=Checkpoint(0), clear=("notes", "users"))
        with pytest.raises(ConfigurationError, match="other"):
            await storage.reset_subscription("other", to=Checkpoint(0), clear=("notes",))

        assert await storage.count_rows("notes") == 1
        (notes,) = await storage.subscriptions()
        assert notes.checkpoints == (Checkpoint(7),)

    async def test_rows_from_before_a_reset_never_outlast_it(self, storage: Storage) -> None:
        await storage.prepare_collections([NOTES])
        await storage.open_subscription("notes", partitions=1, start_after=0)
        begun = asyncio.Event()
        worker = asyncio.ensure_future(write_until_reset(storage, begun))
        await begun.wait()

        await storage.reset_subscription("notes", to=Checkpoint(0), clear=("notes",))
        await worker

        (notes,) = await storage.subscriptions()
        assert notes.checkpoints == (Checkpoint(0),)
        assert await storage.count_rows("notes") == 0

    # ----------------------------------------------------------------------------- receipts

    async def test_receipts_that_came_past_a_position_are_counted_and_removed(
        self, storage: Storage
    ) -> None:
        ids = [id_bytes() for _ in range(4)]
        await storage.commit(receiving(ids[0]))
        for id in ids[1:]:
            events = appending("order-1", *new_events(2))
            await storage.commit(
                Changes(appends=events.appends, receipts=receiving(id).receipts),
            )

        assert [await storage.count_receipts(after=at) for at in (0, 2, 3, 6)] == [3, 2, 2, 0]
        assert await storage.remove_receipts(after=2) == 2
        assert await receipts_left(storage, ids) == [0, 1]
        assert await storage.remove_receipts(after=2) == 0

    # -------------------------------------------------------------------------------- prune

    async def test_a_prune_removes_receipts_written_before_a_time_and_no_others(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        old, new = id_bytes(), id_bytes()
        await storage.commit(receiving(old))
        between = await self.moment(storage, clock)
        await storage.commit(receiving(new))

        assert await storage.prune(before=1) == Pruned()
        assert await storage.prune(before=between) == Pruned(receipts=1)

        assert await receipts_left(storage, [old, new]) == [1]
        assert await storage.prune(before=FAR_FUTURE_US) == Pruned(receipts=1)

    async def test_a_prune_removes_ids_of_events_erased_before_a_time_and_no_others(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        first, second, third = new_events(3)
        await storage.commit(appending("order-1", first, second, third))
        await storage.commit(changing(truncate("order-1", 2)))
        between = await self.moment(storage, clock)
        await storage.commit(changing(truncate("order-1", 3)))

        assert await storage.prune(before=1) == Pruned()
        assert await storage.prune(before=between) == Pruned(erased_ids=1)

        again = await storage.commit(appending("order-1", second, third))
        assert again.position == 3
        with pytest.raises(IdempotencyConflictError):
            await storage.commit(appending("order-1", first, second))
        assert (await storage.commit(appending("order-1", first))).position == 5

    async def test_a_prune_takes_the_oldest_first_and_no_more_of_a_kind_than_its_limit(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        ids = [id_bytes() for _ in range(5)]
        await storage.commit(appending("order-1", *new_events(5)))
        for number, id in enumerate(ids):
            await storage.commit(
                Changes(receipts=receiving(id).receipts, streams=(truncate("order-1", number + 2),))
            )
            await self.moment(storage, clock)

        pruned = await storage.prune(before=FAR_FUTURE_US, limit=2)

        assert pruned == Pruned(receipts=2, erased_ids=2)
        assert pruned.total == 4
        assert await receipts_left(storage, ids) == [2, 3, 4]
        assert (await storage.prune(before=FAR_FUTURE_US, limit=3)).total == 6
        assert (await storage.prune(before=FAR_FUTURE_US)).total == 0

    async def test_a_message_that_comes_again_after_its_receipt_was_pruned_counts_as_new(
        self, storage: Storage
    ) -> None:
        message = id_bytes()
        changes = Changes(
            appends=(append("order-1", new_event()),), receipts=receiving(message).receipts
        )
        await storage.commit(changes)
        await storage.prune(before=FAR_FUTURE_US)

        await storage.commit(receiving(message, digest=b"other"))

        stored = await storage.receipt("orders", message)
        assert stored is not None
        assert (stored.digest, stored.position) == (b"other", 0)

    async def test_what_is_there_is_not_pruned(self, storage: Storage) -> None:
        changes = appending("order-1", *new_events(2))
        first = await storage.commit(changes)

        assert await storage.prune(before=FAR_FUTURE_US) == Pruned()

        assert await storage.commit(changes) == first == Committed(2, first.appends)

    @pytest.mark.parametrize("limit", [-1, 0])
    async def test_a_prune_of_nothing_is_refused(self, storage: Storage, limit: int) -> None:
        with pytest.raises(ValueError, match="limit"):
            await storage.prune(before=1, limit=limit)
