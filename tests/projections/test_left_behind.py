"""Nothing stays of a generation that was dropped, nor of a comparison that failed."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from headwater import Projection, applies
from headwater.app.projection_runners import ProjectionRunners
from headwater.clock import SystemClock
from headwater.errors import SubscriptionFailedError
from headwater.monitoring.stored import stored_statuses
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.building import drop
from headwater.ports.storage import Storage
from headwater.subscriptions.status import SubscriptionState
from tests.projections.tallies import Counted, Tallies, Tally, app_of, count


async def test_a_worker_that_hears_late_of_a_drop_does_not_store_it_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
        await app.projections.rebuild(Tallies)
        await app.projections.wait(Tallies)
        monkeypatch.setattr(ProjectionRunners, "refresh", AsyncMock())

        await drop(storage, "tally_tally", 2)

        async with asyncio.timeout(20):
            while all(one.state is not SubscriptionState.RETIRED for one in app.status()):
                await count(app, "b")
                await asyncio.sleep(0.05)
        assert [one.name for one in await storage.subscriptions()] == ["tally.tallies"]


async def test_what_is_retired_lags_behind_nothing(storage: Storage) -> None:
    async with app_of(Tallies, storage) as app:
        await app.wait_for(Tallies, await count(app, "a"))
        await app.projections.rebuild(Tallies)
        await app.projections.switch(Tallies)
        await app.wait_for(Tallies, await count(app, "b"))

        statuses = await stored_statuses(storage, storage, clock=SystemClock())

        retired = next(one for one in statuses if one.state is SubscriptionState.RETIRED)
        assert (retired.lag_events, retired.lag_seconds) == (0, 0.0)


refused: set[str] = set()


class Choosy(Projection[Tally], name="tallies", partitions=4):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        if event.name in refused:
            raise LookupError("it can't count that")
        return Tally(event.name)


def interrupt(done: int, total: int) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(no_progress, SubscriptionFailedError), (interrupt, asyncio.CancelledError)],
)
async def test_a_comparison_that_fails_or_is_interrupted_leaves_nothing_behind(
    storage: Storage, progress: Progress, expected: type[BaseException]
) -> None:
    refused.clear()
    async with app_of(Choosy, storage) as app:
        await app.wait_for(Choosy, await count(app, "a"))
        refused.add("a")

        with pytest.raises(expected):
            await app.projections.verify(Choosy, progress=progress)

        assert [one.number for one in await app.projections.status(Choosy)] == [1]
        assert [one.name for one in await storage.subscriptions()] == ["tally.tallies"]
