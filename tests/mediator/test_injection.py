"""Dependencies: by type, from three sources, decided before the first message."""

from collections.abc import Callable
from typing import Annotated, Any

from dishka import FromDishka

from headwater.adapters.container.instances import Instances
from headwater.mediator import Handlers, Mediator, Publisher, Sender
from tests.mediator.sessions import Session, Stock, sessions
from tests.mediator.shop import GetPrice, OrderPlaced, PlaceOrder


def session_of(values: Any) -> Session:
    return Session()


class Counting(Instances):
    """Counts what is asked of it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.got = 0
        self.scopes = 0

    async def get(self, key: Any, /) -> Any:
        self.got += 1
        return await super().get(key)

    def request(self, values: Any, /) -> Any:
        self.scopes += 1
        return super().request(values)


async def test_what_lives_as_long_as_the_app_is_got_once_and_needs_no_scope() -> None:
    container = Counting({Stock: Stock()}, per_request={Session: session_of})
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, stock: Stock) -> str:
        return str(id(stock))

    @table.handler
    async def price(query: GetPrice, stock: Stock) -> int:
        return id(stock)

    mediator = Mediator(table, container=container)
    first, second = await mediator.send(PlaceOrder("a")), await mediator.send(PlaceOrder("b"))
    third = await mediator.send(GetPrice("tea"))

    assert first == second == str(third)
    assert (container.got, container.scopes) == (1, 0)


async def test_start_gets_everything_before_the_first_message() -> None:
    container = Counting({Stock: Stock()})
    table = Handlers()

    @table.on
    async def listen(event: OrderPlaced, stock: Stock) -> None: ...

    async with Mediator(table, container=container):
        assert container.got == 1


async def test_the_mediator_gives_itself_by_every_name_it_has() -> None:
    table = Handlers()

    @table.handler
    async def place(
        command: PlaceOrder, mediator: Mediator, sender: Sender, publisher: Publisher
    ) -> str:
        given: list[object] = [mediator, sender, publisher]
        return str([it is the_mediator for it in given])

    the_mediator = Mediator(table)

    assert await the_mediator.send(PlaceOrder("tea")) == "[True, True, True]"


async def test_a_resolver_gives_values_per_message_without_a_scope() -> None:
    numbers = iter(range(10))

    def resolver(annotation: Any) -> Callable[[], Any] | None:
        return (lambda: next(numbers)) if annotation is int else None

    table = Handlers()

    @table.handler
    async def price(query: GetPrice, number: int) -> int:
        return number

    mediator = Mediator(table, resolvers=[resolver])

    assert [await mediator.send(GetPrice("tea")) for _ in range(3)] == [0, 1, 2]


async def test_a_parameter_with_a_default_is_optional() -> None:
    table = Handlers()
    stock = Stock()

    @table.handler
    async def price(query: GetPrice, factor: int = 3, unannotated=2, *, named: float = 1.0) -> int:  # type: ignore[no-untyped-def]
        return factor * int(unannotated)

    @table.handler
    async def place(
        command: PlaceOrder, found: Stock | None = None, *, absent: Session | None
    ) -> str:
        return str(found is stock and absent is None)

    mediator = Mediator(table, instances={Stock: stock})

    assert await mediator.send(GetPrice("tea")) == 6
    assert await mediator.send(PlaceOrder("tea")) == "True"


async def test_keyword_only_dependencies_are_given_by_name() -> None:
    container, _ = sessions()
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, stock: Stock, *, session: Session) -> str:
        return f"{type(stock).__name__} {session.number}"

    assert await Mediator(table, container=container).send(PlaceOrder("a")) == "Stock 0"


async def test_metadata_of_an_annotation_is_looked_through() -> None:
    stock = Stock()
    table = Handlers()

    @table.handler
    async def place(
        command: Annotated[PlaceOrder, "x"],
        one: Annotated[Stock, "x"],
        two: FromDishka[Stock],
        three: Annotated[Stock | None, "x"],
    ) -> str:
        return str(one is two is three is stock)

    mediator = Mediator(table, container=Instances({Stock: stock}))

    assert await mediator.send(PlaceOrder("tea")) == "True"
