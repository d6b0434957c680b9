"""Dependencies: by type, from three sources, decided before the first message."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from dishka import FromDishka

from headwater.adapters.container.instances import Instances
from headwater.mediator import Handlers, Mediator, Next, Publisher, Sender, Strategy
from headwater.metadata import MessageContext, message_context
from tests.mediator.shop import CancelOrder, GetPrice, OrderPlaced, PlaceOrder


class Stock:
    """Of scope APP in these tests."""


class Session:
    """Of scope REQUEST in these tests; says when it is closed."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.closed = False


class Sessions:
    """Makes sessions, one per request scope."""

    def __init__(self) -> None:
        self.made: list[Session] = []

    @asynccontextmanager
    async def __call__(self, values: Any) -> AsyncGenerator[Session]:
        session = Session(len(self.made))
        self.made.append(session)
        try:
            yield session
        finally:
            session.closed = True


def sessions() -> tuple[Instances, Sessions]:
    made = Sessions()
    return Instances({Stock: Stock()}, per_request={Session: made}), made


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


async def test_what_lives_as_long_as_a_message_is_new_for_each_and_closed_after_it() -> None:
    container, made = sessions()
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, session: Session, stock: Stock) -> str:
        assert not session.closed
        return str(session.number)

    mediator = Mediator(table, container=container)

    assert [await mediator.send(PlaceOrder("tea")) for _ in range(2)] == ["0", "1"]
    assert [session.closed for session in made.made] == [True, True]


async def test_a_nested_send_joins_the_scope() -> None:
    container, made = sessions()
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, session: Session, sender: Sender) -> str:
        inner = await asyncio.gather(*[sender.send(GetPrice("tea")) for _ in range(3)])
        assert not session.closed
        return f"{session.number} {inner}"

    @table.handler
    async def price(query: GetPrice, session: Session) -> int:
        return session.number

    assert await Mediator(table, container=container).send(PlaceOrder("tea")) == "0 [0, 0, 0]"
    assert len(made.made) == 1


async def test_a_message_sent_after_the_end_of_the_scope_does_not_join_it() -> None:
    container, _ = sessions()
    table = Handlers()
    later: list[asyncio.Task[int]] = []
    go = asyncio.Event()

    async def send_later(sender: Sender) -> int:
        await go.wait()
        return await sender.send(GetPrice("tea"))

    @table.handler
    async def place(command: PlaceOrder, session: Session, sender: Sender) -> str:
        later.append(asyncio.create_task(send_later(sender)))
        return ""

    @table.handler
    async def price(query: GetPrice, session: Session) -> int:
        assert not session.closed
        return session.number

    await Mediator(table, container=container).send(PlaceOrder("tea"))
    go.set()

    assert await later[0] == 1


async def test_another_mediators_scope_is_not_joined() -> None:
    (container, _), (other_container, other_made) = sessions(), sessions()
    table, other_table = Handlers(), Handlers()

    @other_table.handler
    async def price(query: GetPrice, session: Session) -> int:
        return id(session)

    other = Mediator(other_table, container=other_container)

    @table.handler
    async def place(command: PlaceOrder, session: Session) -> str:
        return str(await other.send(GetPrice("tea")))

    answer = await Mediator(table, container=container).send(PlaceOrder("tea"))

    assert answer == str(id(other_made.made[0]))


async def test_parallel_handlers_of_a_publish_get_a_scope_each() -> None:
    container, made = sessions()
    table = Handlers()
    seen: list[int] = []

    @table.handler
    async def place(command: PlaceOrder, session: Session, publisher: Publisher) -> str:
        await publisher.publish(OrderPlaced())
        return str(session.number)

    for _ in range(2):

        async def listen(event: OrderPlaced, session: Session) -> None:
            seen.append(session.number)

        table.on(listen)

    await Mediator(table, container=container).send(PlaceOrder("tea"))

    assert sorted(seen) == [1, 2]
    assert all(session.closed for session in made.made)


async def test_handlers_in_turn_share_the_publishers_scope() -> None:
    container, _ = sessions()
    table = Handlers()
    seen: list[int] = []

    @table.handler
    async def place(command: PlaceOrder, session: Session, publisher: Publisher) -> str:
        await publisher.publish(OrderPlaced())
        return ""

    @table.on
    async def listen(event: OrderPlaced, session: Session) -> None:
        seen.append(session.number)

    mediator = Mediator(table, container=container, strategy=Strategy.SEQUENTIAL)
    await mediator.send(PlaceOrder("tea"))

    assert seen == [0]


async def test_a_behaviour_and_its_handler_share_the_scope() -> None:
    container, made = sessions()
    table = Handlers()

    @table.behaviour
    async def around(message: PlaceOrder, next: Next[PlaceOrder, str], session: Session) -> str:
        answer = await next(message)
        assert not session.closed
        return f"{session.number}{answer}"

    @table.handler
    async def place(command: PlaceOrder, session: Session) -> str:
        return str(session.number)

    assert await Mediator(table, container=container).send(PlaceOrder("tea")) == "00"
    assert len(made.made) == 1


async def test_the_scope_sees_the_handlers_error_and_is_closed() -> None:
    seen: list[BaseException] = []

    @asynccontextmanager
    async def session(values: Any) -> AsyncGenerator[Session]:
        try:
            yield Session()
        except ValueError as error:
            seen.append(error)
            raise

    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, session: Session) -> str:
        raise ValueError("no tea")

    mediator = Mediator(table, container=Instances(per_request={Session: session}))
    with pytest.raises(ValueError, match="no tea") as caught:
        await mediator.send(PlaceOrder("tea"))

    assert seen == [caught.value]


async def test_a_scope_gets_what_its_message_brings() -> None:
    seen: list[Any] = []

    def make(values: Any) -> Session:
        seen.append(values[MessageContext])
        return Session()

    container = Instances(per_request={Session: make, MessageContext: lambda values: None})
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, session: Session, context: MessageContext) -> str:
        return str(context.message_id)

    mediator = Mediator(table, container=container, propagate_context=True)

    assert await mediator.send(PlaceOrder("tea")) == str(seen[0].message_id)


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


# ---------------------------------------------------------------------------- classes


async def test_a_handler_class_gets_its_dependencies_in_its_constructor() -> None:
    table = Handlers()

    @table.handler
    class Place:
        def __init__(self, stock: Stock, *, factor: int = 2) -> None:
            self.stock, self.factor = stock, factor

        async def handle(self, command: PlaceOrder, sender: Sender) -> str:
            return f"{type(self.stock).__name__} {self.factor}"

    mediator = Mediator(table, container=Instances({Stock: Stock()}))

    assert await mediator.send(PlaceOrder("tea")) == "Stock 2"


async def test_a_handler_class_with_a_session_is_made_for_each_message() -> None:
    container, made = sessions()
    table = Handlers()

    @table.handler
    class Place:
        def __init__(self, session: Session, stock: Stock) -> None:
            self.session = session

        async def handle_place(self, command: PlaceOrder, *, session: Session) -> str:
            return f"{self.session is session} {session.number}"

        def handle_cancel(self, command: CancelOrder) -> None:
            assert not self.session.closed

    mediator = Mediator(table, container=container)

    assert await mediator.send(PlaceOrder("tea")) == "True 0"
    assert await mediator.send(PlaceOrder("tea")) == "True 1"
    await mediator.send(CancelOrder("tea"))
    assert all(session.closed for session in made.made)


async def test_a_handler_class_of_the_messages_context_is_made_for_each_message() -> None:
    table = Handlers()

    @table.handler
    class Place:
        def __init__(self, context: MessageContext) -> None:
            self.context = context

        async def handle(self, command: PlaceOrder) -> str:
            return str(self.context.actor)

    mediator = Mediator(table)
    answers: list[str] = []
    for actor in ("ann", "bob"):
        with message_context(actor=actor):
            answers.append(await mediator.send(PlaceOrder("tea")))

    assert answers == ["ann", "bob"]


async def test_a_handler_class_that_the_container_knows_comes_from_there() -> None:
    table = Handlers()

    @table.handler
    class Place:
        def __init__(self, word: str) -> None:
            self.word = word

        async def handle(self, command: PlaceOrder) -> str:
            return self.word

    mediator = Mediator(table, container=Instances({Place: Place("from the container")}))

    assert await mediator.send(PlaceOrder("tea")) == "from the container"


async def test_a_behaviour_can_be_a_class_with_dependencies() -> None:
    table = Handlers()

    @table.behaviour
    class Around:
        def __init__(self, stock: Stock) -> None:
            self.stock = stock

        async def __call__(self, message: PlaceOrder, next: Next[PlaceOrder, str]) -> str:
            return f"{type(self.stock).__name__} {await next(message)}"

    @table.handler
    async def place(command: PlaceOrder) -> str:
        return "placed"

    mediator = Mediator(table, container=Instances({Stock: Stock()}))

    assert await mediator.send(PlaceOrder("tea")) == "Stock placed"
