"""A worker gets what is its due, keeps what it has, and never gets what another has."""

import asyncio

import pytest

from headwater.errors import ConfigurationError
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import LEASE_SECONDS_MAX, Checkpoint, Lease
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import id_bytes
from headwater.testing.conformance.leases.suite import (
    LONG_SECONDS,
    LeasesSuite,
    held,
    lease,
    owners,
    tokens,
)
from headwater.testing.conformance.suite import UnsteadyClock

# Sorted by code point; by UTF-16 the last two would stand the other way round.
NAMES = ("Z", "a", "a b", "host:1:x", "z'\"%_\\", "ä", "\uffee", "😀")


class DealingConformance(LeasesSuite):
    """What one call of `lease_partitions` does."""

    async def test_a_worker_alone_gets_all_partitions_in_order(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=17)

        share = await lease(storage, "a")

        assert (held(share), share.fair, share.workers) == ([0, 1, 2], 3, 1)
        assert all(one.checkpoint == Checkpoint(17) and not one.unclean for one in share.leases)
        assert all(one.token > 0 for one in share.leases)
        assert await owners(storage) == ["a", "a", "a"]

    async def test_a_lease_says_where_its_partition_stands(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=3)
        event_id = id_bytes()
        await storage.commit(Changes(checkpoints=(CheckpointMove("totals", 1, 3, 9, event_id),)))

        new = await lease(storage, "a")
        move = CheckpointMove("totals", 0, 3, 8, None, new.leases[0].token)
        await storage.commit(Changes(checkpoints=(move,)))
        extended = await lease(storage, "a")

        assert [one.checkpoint for one in new.leases] == [Checkpoint(3), Checkpoint(9, event_id)]
        assert [one.checkpoint for one in extended.leases] == [
            Checkpoint(8),
            Checkpoint(9, event_id),
        ]

    async def test_who_asks_again_keeps_what_it_has_under_the_same_tokens(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=4, start_after=0)
        first = await lease(storage, "a")
        before = await storage.partition_states("totals")

        second = await lease(storage, "a", seconds=2 * LONG_SECONDS)

        assert second == first
        after = await storage.partition_states("totals")
        assert all(
            (new.expires_at or 0) >= (old.expires_at or 0) + LONG_SECONDS * 1_000_000
            for old, new in zip(before, after, strict=True)
        )

    async def test_who_asks_for_less_time_has_its_leases_for_less(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await lease(storage, "a", seconds=LEASE_SECONDS_MAX)

        await lease(storage, "a", seconds=0.001)

        await self.run_out(storage, clock)
        assert held(await lease(storage, "b")) == [0]

    @pytest.mark.parametrize("partitions", [1, 3, 8, 16, 20])
    async def test_the_due_of_a_worker_is_its_part_and_one_more_for_the_first_by_name(
        self, storage: Storage, partitions: int
    ) -> None:
        await storage.open_subscription("totals", partitions=partitions, start_after=0)
        for name in reversed(NAMES):
            await lease(storage, name)

        shares = [await lease(storage, name) for name in NAMES]

        each, left = divmod(partitions, len(NAMES))
        expected = [each + 1] * left + [each] * (len(NAMES) - left)
        assert [share.fair for share in shares] == expected
        assert {share.workers for share in shares} == {len(NAMES)}

    async def test_a_worker_gets_the_lowest_of_what_nobody_has_and_no_more_than_its_due(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=5, start_after=0)
        await lease(storage, "a")
        await lease(storage, "b")
        await storage.release_partitions("a", "totals", [4, 1, 2])

        share = await lease(storage, "b")

        assert (held(share), share.fair) == ([1, 2], 2)
        assert await owners(storage) == ["a", "b", "b", "a", None]

    async def test_what_is_leased_is_never_taken(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=4, start_after=0)
        mine = await lease(storage, "b")

        others = [await lease(storage, name) for name in ("a", "c", "a", "c")]

        assert [(held(share), share.fair) for share in others] == [
            ([], 2),
            ([], 1),
            ([], 2),
            ([], 1),
        ]
        above = await lease(storage, "b")
        assert (above.leases, above.fair, above.workers) == (mine.leases, 1, 3)

    async def test_more_workers_than_partitions_leave_some_without(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        for name in ("d", "c", "b", "a"):
            await lease(storage, name)
        await storage.release_partitions("d", "totals", [0, 1])

        shares = [await lease(storage, name) for name in ("d", "c", "b", "a")]

        assert [(held(share), share.fair, share.workers) for share in shares] == [
            ([], 0, 4),
            ([], 0, 4),
            ([0], 1, 4),
            ([1], 1, 4),
        ]

    async def test_several_subscriptions_are_dealt_each_by_itself(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=1)
        await storage.open_subscription("mail", partitions=2, start_after=2)
        await storage.open_subscription("other", partitions=1, start_after=0)
        await lease(storage, "b", "mail")

        shares = await storage.lease_partitions(
            "a", ["totals", "mail", "totals"], seconds=LONG_SECONDS
        )

        assert {name: held(share) for name, share in shares.items()} == {
            "totals": [0, 1, 2],
            "mail": [],
        }
        assert [(shares[name].fair, shares[name].workers) for name in ("totals", "mail")] == [
            (3, 1),
            (1, 2),
        ]
        assert await owners(storage, "other") == [None]

    async def test_nothing_is_leased_of_any_if_one_is_not_known(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)

        with pytest.raises(ConfigurationError, match="mail"):
            await storage.lease_partitions("a", ["totals", "mail"], seconds=LONG_SECONDS)

        assert await owners(storage) == [None, None]
        assert (await lease(storage, "b")).workers == 1

    async def test_who_asks_for_no_subscription_gets_none(self, storage: Storage) -> None:
        assert dict(await storage.lease_partitions("a", [], seconds=LONG_SECONDS)) == {}

    @pytest.mark.parametrize("seconds", [0.0, -1.0, LEASE_SECONDS_MAX + 0.001, float("nan")])
    async def test_a_time_out_of_range_is_refused(self, storage: Storage, seconds: float) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)

        with pytest.raises(ValueError, match="seconds"):
            await lease(storage, "a", seconds=seconds)

        assert await owners(storage) == [None]

    @pytest.mark.parametrize("worker", ["", "\ud800"])
    async def test_a_worker_without_a_name_that_can_be_stored_is_refused(
        self, storage: Storage, worker: str
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)

        with pytest.raises(ValueError):  # noqa: PT011 - of the second, it is Python's own
            await lease(storage, worker)

    @pytest.mark.parametrize("name", NAMES)
    async def test_names_are_kept_as_they_are(self, storage: Storage, name: str) -> None:
        await storage.open_subscription(name, partitions=2, start_after=0)

        share = await lease(storage, name, name)
        await storage.release_partitions(name, name, [0])

        assert held(share) == [0, 1]
        assert await owners(storage, name) == [None, name]

    async def test_1024_partitions_are_leased_in_one_step(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=1024, start_after=0)

        share = await lease(storage, "a")

        assert held(share) == list(range(1024))
        assert tokens(await lease(storage, "a")) == tokens(share)

    async def test_leases_outlast_a_close(self, storage: Storage) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = await lease(storage, "a")
        states = await storage.partition_states("totals")

        await storage.close()
        await storage.open()

        assert await storage.partition_states("totals") == states
        other = await lease(storage, "b")
        assert (held(other), other.workers) == ([], 2)
        assert (await lease(storage, "a")).leases == mine.leases

    async def test_of_many_workers_that_ask_at_once_no_two_get_one_partition(
        self, storage: Storage
    ) -> None:
        await storage.open_subscription("totals", partitions=16, start_after=0)
        names = [f"worker-{number}" for number in range(5)]
        has: dict[str, list[Lease]] = {}

        async def work(name: str) -> None:
            for _ in range(6):
                share = await lease(storage, name)
                has[name] = [*share.leases]
                above = [one.partition for one in share.leases[share.fair :]]
                if above:
                    await storage.release_partitions(name, "totals", above)
                    has[name] = [*share.leases[: share.fair]]

        await asyncio.gather(*(work(name) for name in names))

        states = await storage.partition_states("totals")
        for name, leases in has.items():
            assert all(
                (states[one.partition].worker, states[one.partition].token) == (name, one.token)
                for one in leases
            )
        assert sorted(one.partition for leases in has.values() for one in leases) == [
            state.partition for state in states if state.worker is not None
        ]
        for name in names:
            await lease(storage, name)
        shares = [await lease(storage, name) for name in names]
        assert [len(share.leases) for share in shares] == [share.fair for share in shares]
        assert sorted(n for share in shares for n in held(share)) == list(range(16))
