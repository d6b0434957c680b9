"""Time comes in from outside, and a test moves it by hand."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.clock import (
    Clock,
    ManualClock,
    SystemClock,
    from_microseconds,
    microseconds_since_epoch,
    seconds_of,
)


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(3):
        await asyncio.sleep(0)


class Sleepers:
    """Tasks that sleep on one clock and note who woke."""

    def __init__(self, clock: ManualClock) -> None:
        self.woken: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._clock = clock

    async def _sleep(self, name: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self.woken.append(name)

    async def start(self, name: str, seconds: float) -> None:
        self.tasks[name] = asyncio.create_task(self._sleep(name, seconds))
        await turn()


@pytest.fixture
def sleepers(clock: ManualClock) -> Sleepers:
    return Sleepers(clock)


async def test_sleepers_wake_in_the_order_they_are_due(
    clock: ManualClock, sleepers: Sleepers
) -> None:
    await sleepers.start("late", 3)
    await sleepers.start("early", 1)
    await sleepers.start("also early, asked second", 1)

    clock.advance(3)
    await turn()

    assert sleepers.woken == ["early", "also early, asked second", "late"]


async def test_a_sleeper_wakes_at_its_time_and_not_before(
    clock: ManualClock, sleepers: Sleepers
) -> None:
    await sleepers.start("sleeper", 2)

    clock.advance(1.999)
    await turn()
    before = list(sleepers.woken)
    clock.advance(0.001)
    await turn()

    assert before == []
    assert sleepers.woken == ["sleeper"]


async def test_many_small_steps_reach_what_one_large_step_reaches(
    clock: ManualClock, sleepers: Sleepers
) -> None:
    await sleepers.start("sleeper", 0.8)

    for _ in range(8):
        clock.advance(0.1)  # as floats they add up to 0.7999999999999999
    await turn()

    assert sleepers.woken == ["sleeper"]
    assert clock.now() == ManualClock().now() + timedelta(seconds=0.8)


async def test_a_cancelled_sleeper_does_not_keep_others_from_waking(
    clock: ManualClock, sleepers: Sleepers
) -> None:
    await sleepers.start("cancelled", 1)
    await sleepers.start("sleeper", 2)

    sleepers.tasks["cancelled"].cancel()
    await turn()
    clock.advance(2)
    await turn()

    assert sleepers.tasks["cancelled"].cancelled()
    assert sleepers.woken == ["sleeper"]


@pytest.mark.parametrize("seconds", [0, -1.5])
async def test_to_sleep_for_nothing_lets_others_run_and_returns(
    clock: ManualClock, sleepers: Sleepers, seconds: float
) -> None:
    await sleepers.start("sleeper", seconds)

    assert sleepers.woken == ["sleeper"]


async def test_the_shortest_sleep_waits_for_an_advance(
    clock: ManualClock, sleepers: Sleepers
) -> None:
    await sleepers.start("sleeper", 1e-9)

    before = list(sleepers.woken)
    clock.advance(timedelta(microseconds=1))
    await turn()

    assert before == []
    assert sleepers.woken == ["sleeper"]


def test_both_readings_move_by_what_the_clock_is_advanced(clock: ManualClock) -> None:
    moment, reading = clock.now(), clock.monotonic()

    clock.advance(timedelta(minutes=1))
    clock.advance(0.5)

    assert clock.now() - moment == timedelta(seconds=60.5)
    assert clock.monotonic() - reading == 60.5


def test_time_does_not_go_back(clock: ManualClock) -> None:
    before = clock.now()

    with pytest.raises(ValueError, match="time does not go back"):
        clock.advance(-0.1)

    assert clock.now() == before


def test_a_manual_clock_starts_where_it_is_told_and_shows_utc() -> None:
    start = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    now = ManualClock(start).now()

    assert now == start
    assert now.tzinfo is UTC


def test_a_manual_clock_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ManualClock(datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test


async def test_the_system_clock_shows_utc_and_sleeps() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()

    await clock.sleep(0.001)
    await clock.sleep(-1)

    assert clock.monotonic() - before >= 0.001
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


@given(st.datetimes(timezones=st.timezones()))
def test_every_moment_comes_back_from_its_microseconds(moment: datetime) -> None:
    assert from_microseconds(microseconds_since_epoch(moment)) == moment.astimezone(UTC)


def test_a_moment_without_time_zone_has_no_microseconds() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        microseconds_since_epoch(datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize("duration", [90, 90.0, timedelta(minutes=1.5)])
def test_a_duration_is_seconds_or_a_timedelta(duration: float | timedelta) -> None:
    seconds = seconds_of(duration)

    assert seconds == 90.0
    assert isinstance(seconds, float)
