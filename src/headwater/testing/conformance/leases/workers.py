"""Workers come and go: what they release is there for others at once, and their part with it."""

import pytest

from headwater.errors import ConfigurationError
from headwater.ports.leases import Checkpoint, PartitionState
from headwater.ports.storage import Storage
from headwater.testing.conformance.leases.suite import (
    LONG_SECONDS,
    LeasesSuite,
    held,
    lease,
    owners,
    tokens,
)


class WorkersConformance(LeasesSuite):
    """What `release_partitions` and `partition_states` promise."""

    async def test_a_worker_that_comes_gets_its_part_as_soon_as_others_release_it(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=4, start_after=0)
        await lease(storage, "a")
        assert held(await lease(storage, "b")) == []
        above = await lease(storage, "a")
        await storage.release_partitions("a", "totals", held(above)[above.fair :])

        came = await lease(storage, "b")

        assert held(came) == [2, 3]
        assert not any(one.unclean for one in came.leases)
        assert await owners(storage) == ["a", "a", "b", "b"]

    async def test_who_releases_all_no_longer_counts(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=0)
        await lease(storage, "a")
        await lease(storage, "b")

        await storage.release_partitions("a", "totals")

        share = await lease(storage, "b")
        assert (held(share), share.fair, share.workers) == ([0, 1, 2], 3, 1)
        assert not any(one.unclean for one in share.leases)

    async def test_who_releases_some_still_counts(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=0)
        await lease(storage, "a")

        await storage.release_partitions("a", "totals", [0, 1, 2])

        share = await lease(storage, "b")
        assert (held(share), share.fair, share.workers) == ([0], 1, 2)

    async def test_who_released_all_can_come_back(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        before = await lease(storage, "a")
        await storage.release_partitions("a", "totals")

        share = await lease(storage, "a")

        assert (held(share), share.workers) == ([0, 1], 1)
        assert all(one.token > tokens(before)[one.partition] for one in share.leases)
        assert not any(one.unclean for one in share.leases)

    async def test_only_the_own_partitions_are_released(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=0)
        await lease(storage, "a")
        await lease(storage, "b")
        await storage.release_partitions("a", "totals", [0])
        assert held(await lease(storage, "b")) == [0]

        await storage.release_partitions("a", "totals", [0, 1, 7, -1])
        await storage.release_partitions("nobody", "totals", [2])
        await storage.release_partitions("nobody", "totals")
        await storage.release_partitions("a", "totals", [])

        assert await owners(storage) == ["b", None, "a"]

    async def test_a_release_is_of_one_subscription_only(self, storage: Storage) -> None:
        for name in ("totals", "mail"):
            await storage.open_subscription(name, partitions=1, start_after=0)
        await storage.lease_partitions("a", ["totals", "mail"], seconds=LONG_SECONDS)

        await storage.release_partitions("a", "totals")

        assert (await owners(storage), await owners(storage, "mail")) == ([None], ["a"])
        assert (await lease(storage, "b", "mail")).workers == 2

    async def test_the_state_of_each_partition_tells_who_has_it_and_until_when(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=5)
        assert list(await storage.partition_states("totals")) == [
            PartitionState(number, Checkpoint(5), 0, None, None) for number in range(2)
        ]
        token = tokens(await lease(storage, "a"))[0]
        earliest = await self.now(storage)
        await storage.release_partitions("a", "totals", [1])

        mine, released = await storage.partition_states("totals")

        assert (mine.partition, mine.checkpoint, mine.token) == (0, Checkpoint(5), token)
        assert mine.worker == "a"
        end = earliest + round(LONG_SECONDS * 1_000_000)
        assert mine.expires_at is not None
        assert end - 60_000_000 <= mine.expires_at <= end
        assert (released.worker, released.expires_at) == (None, None)

    async def test_of_a_subscription_that_is_not_known_nothing_is_told_or_released(
        self, storage: Storage
    ) -> None:
        with pytest.raises(ConfigurationError, match="totals"):
            await storage.partition_states("totals")
        with pytest.raises(ConfigurationError, match="totals"):
            await storage.release_partitions("a", "totals")
        with pytest.raises(ConfigurationError, match="totals"):
            await storage.release_partitions("a", "totals", [0])
