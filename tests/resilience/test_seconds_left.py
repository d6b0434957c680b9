"""What runs under a timeout can ask how long it has."""

from headwater.clock import ManualClock
from headwater.resilience import Policy, Retry, Timeout, seconds_left


async def test_the_nearest_timeout_counts_and_time_passes() -> None:
    clock = ManualClock()
    seen: list[float | None] = []

    async def look() -> None:
        seen.append(seconds_left())
        clock.advance(2)
        seen.append(seconds_left())
        async with Timeout(0.5, clock=clock):
            seen.append(seconds_left())
        seen.append(seconds_left())

    assert seconds_left() is None
    await Policy(Timeout(10, clock=clock), Retry(), Timeout(3, clock=clock)).call(look)

    assert seen == [3.0, 1.0, 0.5, 1.0]
    assert seconds_left() is None


async def test_when_the_time_has_passed_nothing_is_left() -> None:
    clock = ManualClock()
    async with Timeout(1, clock=clock):
        clock.advance(1)
        assert seconds_left() == 0.0
