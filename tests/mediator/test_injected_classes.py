"""Handlers that are classes get their dependencies when they are made."""

from headwater.adapters.container.instances import Instances
from headwater.mediator import Handlers, Mediator, Next, Sender
from headwater.metadata import MessageContext, message_context
from tests.mediator.sessions import Session, Stock, sessions
from tests.mediator.shop import CancelOrder, PlaceOrder


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
