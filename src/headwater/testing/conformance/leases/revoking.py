"""What operators do with a subscription takes it from those who work it, tokens and all."""

import pytest

from headwater.errors import CheckpointConflictError, ConfigurationError, LeaseLostError
from headwater.ports.administration import StoredSubscription
from headwater.ports.changes import Changes
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import id_bytes, row
from headwater.testing.conformance.leases.suite import (
    LONG_SECONDS,
    LeasesSuite,
    held,
    lease,
    moving,
    owners,
    places,
    tokens,
)

NOTES = CollectionSpec("notes", ("id",))


class RevokingConformance(LeasesSuite):
    """What resets, other partitions and drops promise to those who hold leases."""

    async def test_a_reset_revokes_all_leases_of_its_subscription(self, storage: Storage) -> None:
        for name in ("totals", "mail"):
            await storage.open_subscription(name, partitions=2, start_after=0)
        shares = await storage.lease_partitions("a", ["totals", "mail"], seconds=LONG_SECONDS)
        old, mail = tokens(shares["totals"]), tokens(shares["mail"])

        # To where they stand: no checkpoint would show it.
        await storage.reset_subscription("totals", to=Checkpoint(0))

        for partition in (0, 1):
            with pytest.raises(LeaseLostError):
                await storage.commit(moving(partition, 0, 7, token=old[partition]))
        assert await owners(storage) == [None, None]
        await storage.commit(moving(0, 0, 7, token=mail[0], of="mail"))
        again = await lease(storage, "a")
        assert held(again) == [0, 1]
        assert all(one.token > old[one.partition] and not one.unclean for one in again.leases)

    async def test_a_reset_that_is_refused_revokes_nothing(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        mine = tokens(await lease(storage, "a"))

        with pytest.raises(ConfigurationError):
            await storage.reset_subscription("totals", to=Checkpoint(0), clear=("notes",))

        await storage.commit(moving(0, 0, 7, token=mine[0]))

    async def test_rows_from_before_a_reset_to_the_same_place_never_outlast_it(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        await storage.open_subscription("totals", partitions=1, start_after=0)
        mine = tokens(await lease(storage, "a"))
        move = moving(0, 0, 7, token=mine[0]).checkpoints
        await storage.reset_subscription("totals", to=Checkpoint(0), clear=("notes",))

        with pytest.raises(LeaseLostError):
            await storage.commit(Changes(rows=(row("notes", "1"),), checkpoints=move))

        assert await storage.count_rows("notes") == 0

    # -------------------------------------------------------------------------- repartition

    @pytest.mark.parametrize("partitions", [1, 2, 5, 1024])
    async def test_a_subscription_gets_another_number_of_partitions_where_the_old_ones_stand(
        self, storage: Storage, partitions: int
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        await storage.open_subscription("mail", partitions=1, start_after=3)
        event_id = id_bytes()
        await storage.commit(moving(0, 0, 9, token=None))
        await storage.commit(moving(1, 0, 9, token=None, event_id=event_id))

        await storage.repartition("totals", partitions=partitions)

        assert list(await storage.subscriptions()) == [
            StoredSubscription("mail", (Checkpoint(3),)),
            StoredSubscription("totals", (Checkpoint(9, event_id),) * partitions),
        ]
        opened = await storage.open_subscription("totals", partitions=2, start_after=0)
        assert len(opened) == partitions
        assert held(await lease(storage, "a")) == list(range(partitions))

    async def test_a_repartition_revokes_all_leases_and_their_tokens_for_good(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        old = tokens(await lease(storage, "a"))

        await storage.repartition("totals", partitions=1)
        await storage.repartition("totals", partitions=2)

        assert await owners(storage) == [None, None]
        new = await lease(storage, "a")
        assert not any(one.unclean for one in new.leases)
        assert min(tokens(new).values()) > max(old.values())
        for partition in (0, 1):
            with pytest.raises(LeaseLostError):
                await storage.commit(moving(partition, 0, 7, token=old[partition]))

    async def test_workers_still_count_after_a_repartition(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await lease(storage, "a")
        await lease(storage, "b")

        await storage.repartition("totals", partitions=4)

        assert [held(await lease(storage, name)) for name in ("b", "a")] == [[0, 1], [2, 3]]

    async def test_what_is_not_drained_is_not_repartitioned(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=5)
        mine = tokens(await lease(storage, "a"))
        await storage.commit(moving(1, 5, 8, token=mine[1]))
        await storage.commit(moving(2, 5, 6, token=mine[2]))

        with pytest.raises(ConfigurationError, match=r"totals.*\b5\b.*\b8\b"):
            await storage.repartition("totals", partitions=2)

        assert await places(storage) == [5, 8, 6]
        await storage.commit(moving(1, 8, 9, token=mine[1]))

    async def test_a_subscription_that_is_not_there_is_not_repartitioned(
        self, storage: Storage
    ) -> None:
        with pytest.raises(ConfigurationError, match="totals"):
            await storage.repartition("totals", partitions=2)

    @pytest.mark.parametrize("partitions", [0, -1, 1025])
    async def test_a_repartition_out_of_range_is_refused(
        self, storage: Storage, partitions: int
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)

        with pytest.raises(ValueError, match=str(partitions)):
            await storage.repartition("totals", partitions=partitions)

        assert await places(storage) == [0, 0]

    # ----------------------------------------------------------------------------- dropping

    async def test_a_subscription_that_is_dropped_is_forgotten(self, storage: Storage) -> None:
        for name in ("totals", "mail"):
            await storage.open_subscription(name, partitions=2, start_after=4)
        shares = await storage.lease_partitions("a", ["totals", "mail"], seconds=LONG_SECONDS)

        await storage.drop_subscription("totals")
        await storage.drop_subscription("totals")

        assert list(await storage.subscriptions()) == [
            StoredSubscription("mail", (Checkpoint(4),) * 2)
        ]
        with pytest.raises(ConfigurationError):
            await lease(storage, "a")
        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 4, 7, token=tokens(shares["totals"])[0]))
        with pytest.raises(CheckpointConflictError) as refusal:
            await storage.commit(moving(0, 4, 7, token=None))
        assert refusal.value.actual == -1
        await storage.commit(moving(0, 4, 7, token=tokens(shares["mail"])[0], of="mail"))

    async def test_a_subscription_that_is_opened_again_knows_neither_workers_nor_tokens(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        old = tokens(await lease(storage, "a"))[0]
        await storage.drop_subscription("totals")
        await storage.open_subscription("totals", partitions=1, start_after=0)

        share = await lease(storage, "b")

        assert (held(share), share.workers) == ([0], 1)
        assert share.leases[0].token > old
        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 0, 7, token=old))
