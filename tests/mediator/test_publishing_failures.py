"""What fails, or is cancelled, while a message is published."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.mediator import Handlers, Mediator, Strategy
from tests.mediator.listening import listening
from tests.mediator.shop import (
    OrderPlaced,
)

RAISING = [
    Strategy.PARALLEL,
    Strategy.SEQUENTIAL,
    Strategy.STOP_ON_FAILURE,
    Strategy.CANCEL_SIBLINGS,
]


@pytest.mark.parametrize("strategy", RAISING)
async def test_a_single_failure_is_a_group_too(strategy: Strategy) -> None:
    table, _ = listening("only", fails=("only",))

    with pytest.raises(ExceptionGroup, match="a handler of OrderPlaced failed") as caught:
        await Mediator(table, strategy=strategy).publish(OrderPlaced())

    assert [str(error) for error in caught.value.exceptions] == ["only"]


@pytest.mark.parametrize("strategy", [Strategy.PARALLEL, Strategy.SEQUENTIAL])
async def test_all_run_and_all_failures_are_gathered(strategy: Strategy) -> None:
    table, heard = listening("a", "b", "c", "d", fails=("a", "c"))

    with pytest.raises(ExceptionGroup, match="2 handlers of OrderPlaced failed") as caught:
        await Mediator(table, strategy=strategy).publish(OrderPlaced())

    assert heard == ["a", "b", "c", "d"]
    assert [str(error) for error in caught.value.exceptions] == ["a", "c"]


async def test_stop_on_failure_leaves_out_the_others() -> None:
    table, heard = listening("a", "b", "c", fails=("b",))

    with pytest.raises(ExceptionGroup) as caught:
        await Mediator(table).publish(OrderPlaced(), strategy=Strategy.STOP_ON_FAILURE)

    assert heard == ["a", "b"]
    assert [str(error) for error in caught.value.exceptions] == ["b"]


async def test_cancel_siblings_cancels_those_that_still_run() -> None:
    ended: list[str] = []
    table = Handlers()

    @table.on
    async def slow(event: OrderPlaced) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")

    @table.on
    async def fails(event: OrderPlaced) -> None:
        await asyncio.sleep(0)
        raise ValueError("fails")

    with pytest.raises(ExceptionGroup) as caught:
        await Mediator(table).publish(OrderPlaced(), strategy=Strategy.CANCEL_SIBLINGS)

    assert ended == ["slow"]
    assert [str(error) for error in caught.value.exceptions] == ["fails"]


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.sampled_from(RAISING))
async def test_whoever_fails_is_in_the_group_and_nobody_else(
    fails: list[bool], strategy: Strategy
) -> None:
    names = [str(number) for number in range(len(fails))]
    failing = tuple(name for name, fail in zip(names, fails, strict=True) if fail)
    table, heard = listening(*names, fails=failing)
    raised: list[str] = []

    try:
        await Mediator(table, strategy=strategy).publish(OrderPlaced())
    except ExceptionGroup as group:
        raised = [str(error) for error in group.exceptions]

    assert raised == [name for name in heard if name in failing]
    assert bool(raised) == bool(failing)
    if strategy in (Strategy.PARALLEL, Strategy.SEQUENTIAL):
        assert heard == names


async def test_handlers_in_parallel_wait_for_each_other() -> None:
    met = asyncio.Barrier(3)
    table = Handlers()
    for _ in range(3):

        async def listener(event: OrderPlaced) -> None:
            await met.wait()

        table.on(listener)

    await Mediator(table).publish(OrderPlaced())

    assert met.n_waiting == 0


@pytest.mark.parametrize("strategy", [*RAISING, Strategy.ISOLATED])
@pytest.mark.parametrize("count", [1, 3])
async def test_cancelling_a_publish_cancels_its_handlers_and_awaits_them(
    strategy: Strategy, count: int
) -> None:
    started, ended = asyncio.Event(), list[str]()
    table = Handlers()
    for _ in range(count):

        async def listener(event: OrderPlaced) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append("ended")

        table.on(listener)
    publishing = asyncio.create_task(Mediator(table, strategy=strategy).publish(OrderPlaced()))
    await started.wait()

    publishing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await publishing
    running = 1 if strategy in (Strategy.SEQUENTIAL, Strategy.STOP_ON_FAILURE) else count
    assert len(ended) == running


@pytest.mark.parametrize("strategy", [*RAISING, Strategy.ISOLATED])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_cancellation_from_inside_a_handler_is_not_swallowed(
    strategy: Strategy, count: int
) -> None:
    table, _ = listening(*(str(number) for number in range(count - 1)))

    @table.on
    async def waits_for_something_cancelled(event: OrderPlaced) -> None:
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    with pytest.raises(asyncio.CancelledError):
        await Mediator(table, strategy=strategy).publish(OrderPlaced())
