"""A lease that has run out is nobody's as soon as another worker takes it, and not before."""

import asyncio
from datetime import timedelta

import pytest

from headwater.errors import LeaseLostError
from headwater.ports.storage import Storage
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


class RunningOutConformance(LeasesSuite):
    """What becomes of leases that nobody extends."""

    async def test_who_overslept_goes_on_under_its_token_if_nobody_took_over(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        mine = tokens(await lease(storage, "a", seconds=SHORT_SECONDS))
        await self.run_out(storage, clock)

        await storage.commit(moving(1, 0, 7, token=mine[1]))

        again = await lease(storage, "a")
        assert tokens(again) == mine
        assert not any(one.unclean for one in again.leases)
        assert await places(storage) == [0, 7]
        await storage.commit(moving(1, 7, 8, token=mine[1]))

    async def test_what_ran_out_is_shown_as_it_was(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        await lease(storage, "a", seconds=SHORT_SECONDS)
        before = await storage.partition_states("totals")

        await self.run_out(storage, clock)

        assert await storage.partition_states("totals") == before

    async def test_what_ran_out_is_taken_under_a_new_token_that_says_it_is_unclean(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        old = tokens(await lease(storage, "a", seconds=SHORT_SECONDS))
        await storage.commit(moving(0, 0, 7, token=old[0]))
        await self.run_out(storage, clock)

        taken = await lease(storage, "b")

        assert (held(taken), taken.fair, taken.workers) == ([0, 1], 2, 1)
        assert all(one.unclean and one.token > old[one.partition] for one in taken.leases)
        assert [one.checkpoint.position for one in taken.leases] == [7, 0]
        extended = await lease(storage, "b")
        assert tokens(extended) == tokens(taken)
        assert not any(one.unclean for one in extended.leases)

    async def test_after_a_takeover_the_old_token_moves_nothing(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        old = tokens(await lease(storage, "a", seconds=SHORT_SECONDS))
        await self.run_out(storage, clock)
        new = tokens(await lease(storage, "b"))

        with pytest.raises(LeaseLostError):
            await storage.commit(moving(0, 0, 7, token=old[0]))

        back = await lease(storage, "a")
        assert (held(back), back.fair, back.workers) == ([], 1, 2)
        assert (await owners(storage), await places(storage)) == (["b"], [0])
        await storage.commit(moving(0, 0, 7, token=new[0]))

    async def test_only_what_came_from_one_that_overslept_is_unclean(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=3, start_after=0)
        await lease(storage, "a", seconds=SHORT_SECONDS)
        await storage.release_partitions("a", "totals", [1])
        await self.run_out(storage, clock)

        taken = await lease(storage, "b")

        assert [(one.partition, one.unclean) for one in taken.leases] == [
            (0, True),
            (1, False),
            (2, True),
        ]

    async def test_what_was_released_after_it_ran_out_is_clean(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=2, start_after=0)
        await lease(storage, "a", seconds=SHORT_SECONDS)
        await self.run_out(storage, clock)
        await storage.release_partitions("a", "totals")

        taken = await lease(storage, "b")

        assert [(one.partition, one.unclean) for one in taken.leases] == [(0, False), (1, False)]

    async def test_a_worker_takes_no_more_than_its_due_of_what_ran_out(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=6, start_after=0)
        old = tokens(await lease(storage, "dead", seconds=SHORT_SECONDS))
        await lease(storage, "b")
        await self.run_out(storage, clock)

        first = await lease(storage, "a")
        second = await lease(storage, "b")

        assert (held(first), first.fair, first.workers) == ([0, 1, 2], 3, 2)
        assert (held(second), second.fair, second.workers) == ([3, 4, 5], 3, 2)
        assert all(one.unclean for one in (*first.leases, *second.leases))
        assert all(one.token > old[one.partition] for one in (*first.leases, *second.leases))

    async def test_a_worker_without_partitions_counts_for_as_long_as_it_asked(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await lease(storage, "b")
        await lease(storage, "a", seconds=SHORT_SECONDS)

        workers = (await lease(storage, "b", seconds=3600)).workers
        while workers == 2:
            clock.advance(SHORT_SECONDS)
            await asyncio.sleep(SHORT_SECONDS / 10)
            workers = (await lease(storage, "b", seconds=3600)).workers

        assert workers == 1
        assert (await lease(storage, "b")).fair == 1

    async def test_a_lease_lasts_up_to_its_last_microsecond(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        await storage.open_subscription("totals", partitions=1, start_after=0)
        await lease(storage, "b", seconds=SHORT_SECONDS)
        if self.takes_time_from_clock:
            clock.advance(timedelta(seconds=SHORT_SECONDS) - timedelta(microseconds=1))
            late = await lease(storage, "a")
            assert (held(late), late.workers) == ([], 2)
            clock.advance(timedelta(microseconds=1))
        else:
            await self.run_out(storage, clock)

        taken = await lease(storage, "a")

        assert (held(taken), taken.workers) == ([0], 1)
