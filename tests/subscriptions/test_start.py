"""Where a new subscription begins: at the beginning, the end, a position or a time."""

from datetime import UTC, datetime, timedelta

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.errors import MomentError
from headwater.subscriptions.start import Start
from tests.subscriptions.seeing import Seen
from tests.subscriptions.workbench import Workbench

BEGUN = datetime(2024, 1, 1, tzinfo=UTC)


async def begun(bench: Workbench, start: Start) -> list[int]:
    """Return the positions that a new subscription sees of what is there, and of one event more."""
    seen = Seen()
    subscriptions = await bench.start(bench.subscriber(seen, start=start))
    await bench.book("a")
    await subscriptions.settle()
    return sorted(seen.positions)


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (Start.beginning(), 1),
        (Start.position(1), 1),
        (Start.position(3), 3),
        (Start.position(6), 6),
        (Start.end(), 6),
    ],
)
async def test_a_subscription_begins_where_it_is_told(
    bench: Workbench, start: Start, first: int
) -> None:
    for n in range(5):
        await bench.book(str(n))

    assert await begun(bench, start) == list(range(first, 7))


@pytest.mark.parametrize(
    ("seconds", "first"), [(-1, 1), (0, 1), (0.5, 2), (1, 2), (2, 3), (4, 5), (4.000001, 6), (9, 6)]
)
async def test_a_time_begins_with_what_was_recorded_then_or_later(
    seconds: float, first: int
) -> None:
    clock = ManualClock(BEGUN)
    storage = MemoryStorage(clock)
    await storage.open()
    bench = Workbench(storage)
    for n in range(5):
        await bench.book(str(n))
        clock.advance(1)

    moment = BEGUN + timedelta(seconds=seconds)
    assert await begun(bench, Start.time(moment)) == list(range(first, 7))
    await bench.stop()
    await storage.close()


@pytest.mark.parametrize(
    ("moment", "first"),
    [(datetime(1, 1, 1, tzinfo=UTC), 1), (datetime(9999, 12, 31, tzinfo=UTC), 2)],
)
async def test_a_time_may_be_any_time(bench: Workbench, moment: datetime, first: int) -> None:
    await bench.book("a")

    assert await begun(bench, Start.time(moment)) == list(range(first, 3))


async def test_what_has_begun_goes_on_wherever_it_is_told_to_start(bench: Workbench) -> None:
    assert await begun(bench, Start.beginning()) == [1]
    await bench.stop()

    assert await begun(bench, Start.end()) == [2]
    await bench.stop()
    assert await begun(bench, Start.position(50)) == [3]


async def test_a_position_that_the_log_has_not_come_to_is_its_end(bench: Workbench) -> None:
    await bench.book("a")

    assert await begun(bench, Start.position(9)) == [2]


def test_what_names_no_place_is_refused() -> None:
    with pytest.raises(MomentError, match="positions count from 1"):
        Start.position(0)
    with pytest.raises(MomentError, match="no time zone"):
        Start.time(datetime(2024, 1, 1))  # noqa: DTZ001 - that is what is tested
