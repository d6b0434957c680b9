"""Behaviours: chosen by message, put in order, at four stages."""

from typing import Any, TypeVar

import pytest

from headwater.mediator import Handlers, Mediator, Next, Stage, Strategy
from headwater.messages import Command, Event, Query
from tests.mediator.shop import (
    CancelOrder,
    GetPrice,
    HasArticle,
    LargeOrderPlaced,
    OrderCancelled,
    OrderPlaced,
    PlaceOrder,
    StockIsLow,
)

M = TypeVar("M")
R = TypeVar("R")


def shop() -> tuple[Handlers, list[str]]:
    seen: list[str] = []
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        seen.append("place")
        return command.article

    @table.handler
    async def cancel(command: CancelOrder) -> None:
        seen.append("cancel")

    @table.handler
    async def price(query: GetPrice) -> int:
        seen.append("price")
        return 7

    @table.on
    async def first(event: OrderPlaced | OrderCancelled | StockIsLow) -> None:
        seen.append("first")

    @table.on
    async def second(event: OrderPlaced) -> None:
        seen.append("second")

    return table, seen


async def seen_with(message: Any, on: Any, stage: Stage = Stage.REQUEST, **options: Any) -> bool:
    """Return whether a behaviour ``on`` something stands around *message*."""
    table, seen = shop()

    @table.behaviour(on=on, stage=stage, **options)
    async def around(message: object, next: Next[object, Any]) -> Any:
        seen.append("around")
        return await next(message)

    mediator = Mediator(table)
    await (mediator.publish(message) if stage is not Stage.REQUEST else mediator.send(message))
    return "around" in seen


async def test_it_hands_the_message_on_and_the_answer_back() -> None:
    table, seen = shop()

    @table.behaviour
    async def around(message: PlaceOrder, next: Next[PlaceOrder, str]) -> str:
        seen.append("before")
        answer = await next(PlaceOrder(message.article.upper()))
        seen.append("after")
        return answer + "!"

    assert await Mediator(table).send(PlaceOrder("tea")) == "TEA!"
    assert seen == ["before", "place", "after"]


async def test_it_can_answer_in_place_of_the_handler() -> None:
    table, seen = shop()

    @table.behaviour
    async def around(message: PlaceOrder, next: Next[PlaceOrder, str]) -> str:
        return "no"

    assert await Mediator(table).send(PlaceOrder("tea")) == "no"
    assert seen == []


@pytest.mark.parametrize(
    ("on", "chosen"),
    [
        (PlaceOrder, [PlaceOrder]),
        (Command, [PlaceOrder, CancelOrder]),
        (Command[Any] | GetPrice, [PlaceOrder, CancelOrder, GetPrice]),
        (Query, [GetPrice]),
        (HasArticle, [PlaceOrder, CancelOrder, GetPrice]),
        (object, [PlaceOrder, CancelOrder, GetPrice]),
        (Any, [PlaceOrder, CancelOrder, GetPrice]),
        (M, [PlaceOrder, CancelOrder, GetPrice]),
    ],
)
async def test_it_is_chosen_by_type_base_class_union_or_protocol(
    on: Any, chosen: list[type]
) -> None:
    for message in (PlaceOrder("tea"), CancelOrder("tea"), GetPrice("tea")):
        assert await seen_with(message, on) == (type(message) in chosen)


async def test_its_annotation_chooses_where_nothing_else_does() -> None:
    table, seen = shop()

    @table.behaviour
    async def commands(message: Command[Any], next: Next[Command[Any], Any]) -> Any:
        seen.append("command")
        return await next(message)

    @table.behaviour
    async def everything(message: M, next: Next[M, R]) -> R:
        seen.append("any")
        return await next(message)

    mediator = Mediator(table)
    await mediator.send(PlaceOrder("tea"))
    await mediator.send(GetPrice("tea"))

    assert seen == ["command", "any", "place", "any", "price"]


async def test_a_predicate_on_the_type_narrows_the_choice() -> None:
    def places(message_type: type) -> bool:
        return message_type.__name__.startswith("Place")

    assert await seen_with(PlaceOrder("tea"), Command, when=places)
    assert not await seen_with(CancelOrder("tea"), Command, when=places)


async def test_a_base_class_reaches_what_derives_from_it_though_nobody_names_that() -> None:
    assert await seen_with(LargeOrderPlaced(), LargeOrderPlaced, Stage.PUBLISH)
    assert not await seen_with(OrderPlaced(), LargeOrderPlaced, Stage.PUBLISH)
    assert await seen_with(LargeOrderPlaced(), Event, Stage.PUBLISH)


async def test_the_lowest_order_stands_outermost_and_equal_ones_as_registered() -> None:
    table, seen = shop()

    def behaviour(name: str, order: int | None) -> None:
        @table.behaviour(order=order)
        async def around(message: PlaceOrder, next: Next[PlaceOrder, str]) -> str:
            seen.append(name)
            return await next(message)

    behaviour("c", None)
    behaviour("e", 5)
    behaviour("b", -1)
    behaviour("d", 0)
    behaviour("a", -5)

    await Mediator(table).send(PlaceOrder("tea"))

    assert seen == ["a", "b", "c", "d", "e", "place"]


async def test_around_a_publish_it_stands_once_and_around_each_handler_once_each() -> None:
    table, seen = shop()

    @table.behaviour(stage=Stage.PUBLISH)
    async def whole(message: OrderPlaced, next: Next[OrderPlaced, None]) -> None:
        seen.append("whole")
        await next(message)

    @table.behaviour(stage=Stage.NOTIFICATION)
    async def each(message: OrderPlaced, next: Next[OrderPlaced, None]) -> None:
        seen.append("each")
        await next(message)

    await Mediator(table, strategy=Strategy.SEQUENTIAL).publish(OrderPlaced())

    assert seen == ["whole", "each", "first", "each", "second"]


@pytest.mark.parametrize("stage", [Stage.PUBLISH, Stage.NOTIFICATION])
async def test_what_stands_around_a_publish_does_not_stand_around_requests(stage: Stage) -> None:
    table, seen = shop()

    @table.behaviour(stage=stage)
    async def around(message: object, next: Next[object, Any]) -> Any:
        seen.append("around")
        return await next(message)

    await Mediator(table).send(PlaceOrder("tea"))

    assert seen == ["place"]


async def test_what_it_raises_around_a_whole_publish_is_no_handlers_failure() -> None:
    table, seen = shop()

    @table.behaviour(stage=Stage.PUBLISH)
    async def refuses(message: StockIsLow, next: Next[StockIsLow, None]) -> None:
        raise PermissionError

    @table.behaviour(stage=Stage.NOTIFICATION)
    async def refuses_each(message: OrderCancelled, next: Next[OrderCancelled, None]) -> None:
        raise PermissionError

    mediator = Mediator(table)
    with pytest.raises(PermissionError):
        await mediator.publish(StockIsLow())
    with pytest.raises(ExceptionGroup):
        await mediator.publish(OrderCancelled())

    assert seen == []


async def test_an_object_can_bring_its_order_and_what_it_applies_to() -> None:
    class Around:
        order = -7

        @staticmethod
        def applies_to(message_type: type) -> bool:
            return message_type is PlaceOrder

        async def __call__(self, message: object, next: Next[object, Any]) -> Any:
            return f"outer {await next(message)}"

    table, _ = shop()

    @table.behaviour(order=-6)
    async def inner(message: PlaceOrder, next: Next[PlaceOrder, str]) -> str:
        return f"inner {await next(message)}"

    table.behaviour(Around())
    mediator = Mediator(table)

    assert await mediator.send(PlaceOrder("tea")) == "outer inner tea"
    assert await mediator.send(GetPrice("tea")) == 7
