"""Message contexts: correlation and causation follow with no code of the user's."""

from headwater.mediator import Handlers, Mediator, Publisher, Sender, Strategy
from headwater.metadata import MessageContext, current_context, message_context
from tests.mediator.shop import GetPrice, OrderPlaced, PlaceOrder


def chatting() -> tuple[Mediator, list[MessageContext]]:
    """Return a mediator whose handlers note the context they run in, three levels deep."""
    seen: list[MessageContext] = []
    table = Handlers()

    def note() -> None:
        context = current_context()
        assert context is not None
        seen.append(context)

    @table.handler
    async def place(command: PlaceOrder, sender: Sender, publisher: Publisher) -> str:
        await sender.send(GetPrice("tea"))
        note()
        await publisher.publish(OrderPlaced())
        return ""

    @table.handler
    async def price(query: GetPrice) -> int:
        note()
        return 7

    @table.on
    async def listen(event: OrderPlaced) -> None:
        note()

    return Mediator(table, propagate_context=True), seen


async def test_each_message_has_an_id_and_knows_what_caused_it() -> None:
    mediator, (seen) = chatting()

    await mediator.send(PlaceOrder("tea"))

    query, command, event = seen
    assert len({command.message_id, query.message_id, event.message_id}) == 3
    assert command.causation_id is None
    assert query.causation_id == event.causation_id == command.message_id
    assert {c.correlation_id for c in seen} == {command.message_id}
    assert current_context() is None


async def test_what_surrounds_a_send_is_kept_all_the_way() -> None:
    mediator, seen = chatting()

    with message_context(actor="ann", tenant="shop", headers={"a": "b"}) as around:
        await mediator.send(PlaceOrder("tea"))
        assert current_context() == around

    assert {(c.actor, c.tenant, c.headers["a"]) for c in seen} == {("ann", "shop", "b")}
    assert {c.correlation_id for c in seen} == {around.correlation_id}
    assert seen[1].causation_id == around.message_id


async def test_the_context_is_set_back_after_a_failure() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder) -> str:
        raise ValueError

    @table.on
    async def listen(event: OrderPlaced) -> None:
        raise ValueError

    mediator = Mediator(table, propagate_context=True)
    for strategy in Strategy:
        try:
            await mediator.send(PlaceOrder("tea"))
        except ValueError:
            assert current_context() is None
        try:
            await mediator.publish(OrderPlaced(), strategy=strategy)
        except ExceptionGroup:
            assert current_context() is None
    await mediator.aclose()


async def test_all_who_hear_a_message_see_the_same_context() -> None:
    seen: list[MessageContext | None] = []
    table = Handlers()
    for _ in range(3):

        async def listen(event: OrderPlaced) -> None:
            seen.append(current_context())

        table.on(listen)

    await Mediator(table, propagate_context=True).publish(OrderPlaced())

    assert seen[0] is not None
    assert seen[0] is seen[1] is seen[2]


async def test_without_propagation_the_surrounding_context_stays_current() -> None:
    table = Handlers()

    @table.handler
    async def place(command: PlaceOrder, context: MessageContext) -> str:
        return str(context.message_id)

    with message_context() as around:
        assert await Mediator(table).send(PlaceOrder("tea")) == str(around.message_id)
