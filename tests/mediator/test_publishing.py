"""Publishing: everybody who hears a message, each once, in a defined order."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import (
    ConfigurationError,
    HandlerNotFoundError,
    LimitExceededError,
    NotPublishableError,
    WiringError,
)
from headwater.mediator import Handlers, Limits, Mediator, Strategy, Unheard
from headwater.messages import Event
from tests.mediator.shop import (
    HasArticle,
    LargeOrderPlaced,
    OrderCancelled,
    OrderPlaced,
    StockIsLow,
)

RAISING = [
    Strategy.PARALLEL,
    Strategy.SEQUENTIAL,
    Strategy.STOP_ON_FAILURE,
    Strategy.CANCEL_SIBLINGS,
]


def listening(*names: str, fails: tuple[str, ...] = ()) -> tuple[Handlers, list[str]]:
    """Return a table of handlers that note their names, and fail if they are to."""
    heard: list[str] = []
    table = Handlers()
    for name in names:

        async def listener(event: OrderPlaced, name: str = name) -> None:
            heard.append(name)
            if name in fails:
                raise ValueError(name)

        table.on(listener)
    return table, heard


# ------------------------------------------------------------------------------ who hears


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_everybody_who_hears_a_type_gets_it_in_order_of_registration(
    strategy: Strategy,
) -> None:
    table, heard = listening("a", "b", "c")

    async with Mediator(table, strategy=strategy) as mediator:
        await mediator.publish(OrderPlaced())

    assert heard == ["a", "b", "c"]


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_strategy_given_with_a_call_is_used_for_that_call(strategy: Strategy) -> None:
    table, heard = listening("a", "b")

    async with Mediator(table) as mediator:
        await mediator.publish(OrderPlaced(), strategy=strategy)
        await mediator.publish(OrderPlaced())

    assert sorted(heard) == ["a", "a", "b", "b"]


async def test_a_lower_order_hears_first() -> None:
    heard: list[str] = []
    table = Handlers()

    @table.on(order=1)
    async def later(event: OrderPlaced) -> None:
        heard.append("later")

    @table.on
    async def between(event: OrderPlaced) -> None:
        heard.append("between")

    @table.on(order=-1)
    async def first(event: OrderPlaced) -> None:
        heard.append("first")

    await Mediator(table, strategy=Strategy.SEQUENTIAL).publish(OrderPlaced())

    assert heard == ["first", "between", "later"]


async def test_handlers_of_a_base_class_a_protocol_or_a_union_hear_each_message_once() -> None:
    heard: list[str] = []
    table = Handlers()

    @table.on
    async def of_base(event: OrderPlaced) -> None:
        heard.append("base")

    @table.on
    async def of_any_event(event: Event) -> None:
        heard.append("any")

    @table.on
    async def of_protocol(event: HasArticle) -> None:
        heard.append("protocol")

    @table.on
    async def of_union(event: LargeOrderPlaced | OrderPlaced | OrderCancelled) -> None:
        heard.append("union")

    @table.on
    async def of_something_else(event: OrderCancelled) -> None:
        heard.append("wrong")

    event: object = LargeOrderPlaced()
    await Mediator(table).publish(event)

    assert heard == ["base", "any", "protocol", "union"]


async def test_a_class_can_hear_several_events() -> None:
    heard: list[str] = []
    table = Handlers()

    @table.on
    class Audit:
        async def handle_placed(self, event: OrderPlaced) -> None:
            heard.append("placed")

        async def handle_others(self, event: OrderCancelled | StockIsLow) -> None:
            heard.append("other")

    mediator = Mediator(table)
    for event in (OrderPlaced(), OrderCancelled(), StockIsLow()):
        await mediator.publish(event)

    assert heard == ["placed", "other", "other"]


async def test_any_object_can_be_published() -> None:
    class Anything:
        pass

    heard: list[object] = []
    table = Handlers()

    @table.on
    async def listen(message: Anything) -> None:
        heard.append(message)

    message = Anything()
    await Mediator(table).publish(message)

    assert heard == [message]


# ------------------------------------------------------------------------------- failures


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


# --------------------------------------------------------------------------- cancellation


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


# ------------------------------------------------------------- isolated and in background


@pytest.mark.parametrize("strategy", [Strategy.ISOLATED, Strategy.BACKGROUND])
@pytest.mark.parametrize("registered", [True, False])
async def test_failures_of_isolated_and_background_handlers_are_reported_not_raised(
    *, strategy: Strategy, registered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[tuple[str, object, str]] = []
    table = Handlers()

    async def fails(event: OrderPlaced) -> None:
        raise ValueError("boom")

    table.on(strategy=strategy if registered else None)(fails)
    event = OrderPlaced()

    async with Mediator(
        table, on_error=lambda error, message, name: reports.append((str(error), message, name))
    ) as mediator:
        await mediator.publish(event, strategy=None if registered else strategy)

    assert [(text, message) for text, message, _ in reports] == [("boom", event)]
    assert reports[0][2].endswith("fails")
    assert "fails failed on OrderPlaced" in caplog.text


async def test_a_hook_that_fails_does_not_fail_the_publish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table, _ = listening("a", fails=("a",))

    def hook(error: Exception, message: object, name: str) -> None:
        raise RuntimeError("hook")

    await Mediator(table, on_error=hook).publish(OrderPlaced(), strategy=Strategy.ISOLATED)

    assert "on_error failed" in caplog.text


async def test_one_isolated_handler_among_parallel_ones_hides_only_its_own_failure() -> None:
    table, heard = listening("a", "b", fails=("b",))

    @table.on(strategy=Strategy.ISOLATED)
    async def isolated(event: OrderPlaced) -> None:
        heard.append("isolated")
        raise ValueError("isolated")

    with pytest.raises(ExceptionGroup) as caught:
        await Mediator(table).publish(OrderPlaced())

    assert heard == ["a", "b", "isolated"]
    assert [str(error) for error in caught.value.exceptions] == ["b"]


async def test_background_handlers_are_not_waited_for_but_drained_at_the_end() -> None:
    go, heard = asyncio.Event(), list[str]()
    table = Handlers()

    @table.on
    async def slow(event: OrderPlaced) -> None:
        await go.wait()
        heard.append("slow")

    mediator = Mediator(table)
    await mediator.publish(OrderPlaced(), strategy=Strategy.BACKGROUND)
    assert heard == []

    closing = asyncio.create_task(mediator.aclose())
    go.set()
    await closing

    assert heard == ["slow"]


async def test_what_is_left_after_the_timeout_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []
    table = Handlers()

    @table.on(strategy=Strategy.BACKGROUND)
    async def endless(event: OrderPlaced) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    mediator = Mediator(table)
    await mediator.publish(OrderPlaced())
    await mediator.aclose(timeout=0.01)

    assert ended == ["ended"]
    assert "1 background handler(s) did not end in time" in caplog.text


async def test_background_handlers_have_a_limit_with_a_name() -> None:
    table, _ = listening("a", "b")
    mediator = Mediator(table, limits=Limits(background=1), strategy=Strategy.BACKGROUND)

    with pytest.raises(ExceptionGroup) as caught:
        await mediator.publish(OrderPlaced())

    assert [type(error) for error in caught.value.exceptions] == [LimitExceededError]
    await mediator.aclose()


async def test_a_closed_mediator_starts_nothing_in_the_background() -> None:
    table, heard = listening("a")
    mediator = Mediator(table)
    await mediator.aclose()

    with pytest.raises(ExceptionGroup) as caught:
        await mediator.publish(OrderPlaced(), strategy=Strategy.BACKGROUND)

    assert "is closed" in str(caught.value.exceptions[0])
    assert heard == []


def test_how_several_run_together_is_no_property_of_one() -> None:
    with pytest.raises(ConfigurationError, match="A single handler can't be SEQUENTIAL"):
        Handlers().on(strategy=Strategy.SEQUENTIAL)


# ------------------------------------------------------------------------------- nobody


async def test_a_message_that_nobody_hears_is_warned_about_once_per_type(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mediator = Mediator(Handlers())

    with caplog.at_level(logging.WARNING):
        for event in (OrderPlaced(), OrderPlaced(), OrderCancelled()):
            await mediator.publish(event)

    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "Nobody hears OrderPlaced",
        "Nobody hears OrderCancelled",
    ]


async def test_it_can_be_warned_about_every_time(caplog: pytest.LogCaptureFixture) -> None:
    mediator = Mediator(Handlers(), unheard=Unheard.WARN)

    await mediator.publish(OrderPlaced())
    await mediator.publish(OrderPlaced())

    assert len(caplog.records) == 2


async def test_it_can_be_an_error() -> None:
    with pytest.raises(HandlerNotFoundError, match="Nobody hears OrderPlaced"):
        await Mediator(Handlers(), unheard=Unheard.RAISE).publish(OrderPlaced())


async def test_a_type_with_only_durable_subscribers_cant_be_published() -> None:
    table, heard = listening("a")
    mediator = Mediator(table, durable=lambda _: True)

    await mediator.publish(OrderPlaced())
    with pytest.raises(NotPublishableError, match=r"publish\(OrderCancelled\) would reach nobody"):
        await mediator.publish(OrderCancelled())

    assert heard == ["a"]


# ------------------------------------------------------------------------- at run time


async def test_a_subscription_at_run_time_hears_until_it_is_undone() -> None:
    table, heard = listening("a")
    mediator = Mediator(table)

    async def late(event: OrderPlaced) -> None:
        heard.append("late")

    await mediator.publish(OrderPlaced())
    undo = mediator.subscribe(late)
    await mediator.publish(OrderPlaced())
    undo()
    undo()
    await mediator.publish(OrderPlaced())

    assert heard == ["a", "a", "late", "a"]


async def test_a_subscription_can_name_its_messages_instead_of_annotating_them() -> None:
    heard: list[object] = []
    mediator = Mediator(Handlers())

    mediator.subscribe(heard.append, OrderPlaced, OrderCancelled, inline=True)
    await mediator.publish(LargeOrderPlaced())
    await mediator.publish(OrderCancelled())

    assert heard == [LargeOrderPlaced(), OrderCancelled()]


async def test_subscribing_during_a_publish_changes_the_next_one() -> None:
    heard: list[str] = []
    table = Handlers()
    undos: list[Callable[[], None]] = []

    async def late(event: OrderPlaced) -> None:
        heard.append("late")

    @table.on
    async def subscribes(event: OrderPlaced) -> None:
        heard.append("first")
        if not undos:
            undos.append(mediator.subscribe(late))

    mediator = Mediator(table)
    await mediator.publish(OrderPlaced())
    assert heard == ["first"]
    await mediator.publish(OrderPlaced())

    assert heard == ["first", "first", "late"]


async def test_a_wrong_subscription_is_refused_and_changes_nothing() -> None:
    table, heard = listening("a")
    mediator = Mediator(table)

    async def wrong(event: OrderPlaced, text: str) -> None:
        raise AssertionError

    async def good(event: OrderPlaced) -> None:
        heard.append("good")

    with pytest.raises(WiringError):
        mediator.subscribe(wrong)
    await mediator.publish(OrderPlaced())
    mediator.subscribe(good)
    await mediator.publish(OrderPlaced())

    assert heard == ["a", "a", "good"]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
async def test_handlers_run_by_order_and_then_as_registered(orders: list[int]) -> None:
    heard: list[int] = []
    table = Handlers()
    for number, order in enumerate(orders):

        async def listener(event: OrderPlaced, number: int = number) -> None:
            heard.append(number)

        table.on(order=order)(listener)

    await Mediator(table, strategy=Strategy.SEQUENTIAL).publish(OrderPlaced())

    assert heard == sorted(range(len(orders)), key=lambda number: (orders[number], number))


async def test_a_background_handler_that_is_cancelled_from_inside_leaves_a_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Handlers()

    @table.on(strategy=Strategy.BACKGROUND)
    async def gives_up(event: OrderPlaced) -> None:
        raise asyncio.CancelledError

    async with Mediator(table) as mediator:
        await mediator.publish(OrderPlaced())

    assert "cancelled before its end" in caplog.text
