"""What lives as long as a message: who shares it, and when it is closed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headwater.adapters.container.instances import Instances
from headwater.mediator import Handlers, Mediator, Next, Publisher, Sender, Strategy
from headwater.metadata import MessageContext
from tests.mediator.sessions import Session, Stock, sessions
from tests.mediator.shop import GetPrice, OrderPlaced, PlaceOrder


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
