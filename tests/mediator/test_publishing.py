"""Publishing: everybody who hears a message, each once, in a defined order."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import (
    HandlerNotFoundError,
    NotPublishableError,
    WiringError,
)
from headwater.mediator import Handlers, Mediator, Strategy, Unheard
from headwater.messages import Event
from tests.mediator.listening import listening
from tests.mediator.shop import (
    HasArticle,
    LargeOrderPlaced,
    OrderCancelled,
    OrderPlaced,
    StockIsLow,
)

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
