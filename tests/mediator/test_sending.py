"""Requests: one handler each, found by the concrete type."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import attrs
import pytest
from pydantic import BaseModel

from headwater.errors import (
    AmbiguousHandlerError,
    ConfigurationError,
    HandlerNotFoundError,
    NestedExecuteError,
)
from headwater.ids import new_id
from headwater.mediator import Handlers, Mediator
from headwater.messages import Command, Request
from tests.mediator.shop import CancelOrder, GetPrice, ListArticles, OrderPlaced, PlaceOrder


async def test_a_request_gets_its_handlers_answer() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        return f"{command.quantity} {command.article}"

    assert await Mediator(table).send(PlaceOrder("tea", 2)) == "2 tea"


async def test_a_decorated_function_stays_directly_callable() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        return command.article

    assert await place(PlaceOrder("tea")) == "tea"


async def test_dispatch_goes_by_the_concrete_type_whatever_the_variable_says() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        return "placed"

    @table.handler
    async def price(query: GetPrice) -> int:
        return 7

    requests: list[Request[Any]] = [PlaceOrder("tea"), GetPrice("tea")]

    assert [await Mediator(table).send(request) for request in requests] == ["placed", 7]


async def test_what_the_handler_raises_reaches_the_sender_as_it_is() -> None:
    table = Handlers()
    raised = ValueError("no tea")

    @table.handler
    async def place(command: PlaceOrder) -> str:
        raise raised

    with pytest.raises(ValueError, match="no tea") as caught:
        await Mediator(table).send(PlaceOrder("tea"))

    assert caught.value is raised


async def test_a_request_that_nobody_handles_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(HandlerNotFoundError, match=r"No handler for PlaceOrder\. Register one"):
        await Mediator(Handlers()).send(PlaceOrder("tea"))


class Ship(Command[str]):
    order: str = "1"


class ShipByAir(Ship):
    pass


class ShipByAirTonight(ShipByAir):
    pass


async def test_a_request_without_a_handler_of_its_own_goes_to_its_nearest_base_classs() -> None:
    table = Handlers()

    @table.handler
    async def ship(command: Ship) -> str:
        return "somehow"

    @table.handler
    async def by_air(command: ShipByAir) -> str:
        return "by air"

    mediator = Mediator(table)

    assert await mediator.send(ShipByAirTonight()) == "by air"
    assert await mediator.send(Ship()) == "somehow"


class Fast(Request[str]):
    pass


class Cheap(Request[str]):
    pass


@dataclass
class FastAndCheap(Fast, Cheap):
    pass


async def test_two_base_classes_equally_near_are_an_error_that_names_both() -> None:
    table = Handlers()

    @table.handler
    async def fast(request: Fast) -> str:
        return "fast"

    @table.handler
    async def cheap(request: Cheap) -> str:
        return "cheap"

    with pytest.raises(AmbiguousHandlerError, match="both Fast and Cheap"):
        await Mediator(table).send(FastAndCheap())


@dataclass(frozen=True)
class AsDataclass(Request[int]):
    n: int


@attrs.frozen
class AsAttrs(Request[int]):
    n: int


class AsModel(BaseModel, Request[int]):
    n: int


@pytest.mark.parametrize("request_", [AsDataclass(3), AsAttrs(3), AsModel(n=3)])
async def test_foreign_classes_are_requests_of_equal_rights(request_: Request[int]) -> None:
    table = Handlers()

    @table.handler
    async def answer(request: AsDataclass | AsAttrs | AsModel) -> int:
        return request.n

    assert await Mediator(table).send(request_) == 3


async def test_a_class_handles_in_each_method_whose_name_starts_with_handle() -> None:
    table = Handlers()

    @table.handler
    class Orders:
        async def handle_place(self, command: PlaceOrder) -> str:
            return "placed"

        async def handle_cancel(self, command: CancelOrder) -> None:
            return None

        async def helper(self, unannotated):  # type: ignore[no-untyped-def] # no handler
            raise AssertionError

    mediator = Mediator(table)

    assert await mediator.send(PlaceOrder("tea")) == "placed"
    await mediator.send(CancelOrder("tea"))


async def test_the_methods_of_a_handler_class_share_one_object() -> None:
    table = Handlers()

    @table.handler
    class Counter:
        def __init__(self) -> None:
            self.seen = 0

        async def handle_place(self, command: PlaceOrder) -> str:
            self.seen += 1
            return str(self.seen)

        async def handle_price(self, query: GetPrice) -> int:
            return self.seen

    mediator = Mediator(table)
    await mediator.send(PlaceOrder("tea"))

    assert await mediator.send(GetPrice("tea")) == 1


async def test_partials_objects_and_bound_methods_can_be_handlers() -> None:
    class Called:
        async def __call__(self, command: PlaceOrder) -> str:
            return "object"

    class Shop:
        async def cancel(self, command: CancelOrder) -> None:
            return None

    async def price(factor: int, query: GetPrice) -> int:
        return factor

    table = Handlers()
    table.handler(Called())
    table.handler(Shop().cancel)
    table.handler(functools.partial(price, 5))
    mediator = Mediator(table)

    assert await mediator.send(PlaceOrder("tea")) == "object"
    assert await mediator.send(GetPrice("tea")) == 5
    await mediator.send(CancelOrder("tea"))


async def test_a_plain_wrapper_of_an_async_handler_is_awaited() -> None:
    def logged(function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Awaitable[str]:
            return function(*args)

        return wrapper

    table = Handlers()

    @table.handler
    @logged
    async def place(command: PlaceOrder) -> str:
        return "placed"

    assert await Mediator(table).send(PlaceOrder("tea")) == "placed"


async def test_two_mediators_dont_know_of_each_other() -> None:
    first, second = Handlers(), Handlers()

    @first.handler
    async def one(command: PlaceOrder) -> str:
        return "first"

    @second.handler
    async def two(command: PlaceOrder) -> str:
        return "second"

    assert await Mediator(first).send(PlaceOrder("tea")) == "first"
    assert await Mediator(second).send(PlaceOrder("tea")) == "second"


async def test_a_table_can_take_over_others_and_a_mediator_several() -> None:
    prices, orders, all_of_them = Handlers(), Handlers(), Handlers()

    @prices.handler
    async def price(query: GetPrice) -> int:
        return 7

    @orders.handler
    async def place(command: PlaceOrder) -> str:
        return "placed"

    all_of_them.include(prices)
    mediator = Mediator(all_of_them, prices, orders)

    assert await mediator.send(GetPrice("tea")) == 7
    assert await mediator.send(PlaceOrder("tea")) == "placed"


async def test_without_a_storage_what_only_a_storage_can_keep_is_refused() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        return "placed"

    for mediator in (Mediator(table), Mediator(table, propagate_context=True)):
        with pytest.raises(ConfigurationError, match="this mediator has none"):
            await mediator.send(PlaceOrder("tea"), id=new_id())
        with pytest.raises(ConfigurationError, match=r"needs id=…"):
            await mediator.send(PlaceOrder("tea"), separate=True)
        with pytest.raises(ConfigurationError, match="has no storage") as refused:
            await mediator.execute(PlaceOrder("tea"))
        assert not isinstance(refused.value, NestedExecuteError)


async def test_a_stream_handler_answers_stream_only_and_says_so() -> None:
    table = Handlers()

    @table.handler
    async def articles(query: ListArticles) -> Any:
        yield "tea"

    with pytest.raises(HandlerNotFoundError, match=r"streams its answer: use stream\(\)"):
        await Mediator(table).send(ListArticles())


async def test_sending_an_event_says_where_it_belongs() -> None:
    with pytest.raises(HandlerNotFoundError, match=r"What is published goes to publish\(\)"):
        await Mediator(Handlers()).send(OrderPlaced())  # type: ignore[call-overload]


async def test_static_and_class_methods_need_no_object() -> None:
    table = Handlers()

    @table.handler
    class Orders:
        handled = 0

        def __init__(self) -> None:
            raise AssertionError

        @staticmethod
        async def handle_place(command: PlaceOrder) -> str:
            return "placed"

        @classmethod
        async def handle_price(cls, query: GetPrice) -> int:
            return cls.handled

    mediator = Mediator(table)

    assert await mediator.send(PlaceOrder("tea")) == "placed"
    assert await mediator.send(GetPrice("tea")) == 0
