"""Many at once: conflicts are rerun, duplicates refused, ids make things happen once."""

import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from headwater.app import App, BoundedContext
from headwater.errors import DuplicateValueError, IdempotencyConflictError
from headwater.event_store import EventStore
from headwater.mediator import Next
from headwater.messages import Command
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing import TestApp
from headwater.unit_of_work.repository import Repository
from tests.app.orders import sales
from tests.app.shop import (
    Customer,
    CustomerRegistered,
    EmailTakenError,
    ListTags,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderTagged,
    PlaceOrder,
    Register,
    TagOrder,
)

A, B = UUID(int=1), UUID(int=2)
ID = UUID(int=77)


async def test_a_hundred_commands_on_one_aggregate_all_get_through(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:
        await app.send(PlaceOrder(A))

        answers = await asyncio.gather(*(app.send(TagOrder(A, str(n))) for n in range(100)))

        # Each decided on what the one before it had written.
        assert sorted(answers) == list(range(1, 101))
        tags = [event.tag for event in await app.recorder.appended(OrderTagged)]
        assert sorted(tags, key=int) == [str(n) for n in range(100)]
        app.recorder.assert_sent(PlaceOrder(A))
        assert len(app.recorder.sent(TagOrder)) == 100


async def test_two_apps_on_one_storage_take_turns_on_one_aggregate(storage: Storage) -> None:
    first = TestApp(sales(), storage=storage, run_subscriptions=False)
    async with first, TestApp(sales(), storage=storage) as second:
        await first.send(PlaceOrder(A))
        apps = (first, second)

        answers = await asyncio.gather(*(apps[n % 2].send(TagOrder(A, str(n))) for n in range(40)))

        assert sorted(answers) == list(range(1, 41))
        await second.settle()


# ------------------------------------------------------------------------------ idempotency


async def test_a_command_sent_again_with_its_id_is_not_handled_again(storage: Storage) -> None:
    app = TestApp(sales(), storage=storage)
    async with app:
        await app.send(PlaceOrder(A))
        assert await app.send(TagOrder(A, "x"), id=ID) == 1
        assert await app.send(TagOrder(A, "y")) == 2
        assert await app.send(TagOrder(A, "x"), id=ID) == 1

    async with app:
        assert await app.send(TagOrder(A, "x"), id=ID) == 1
        receipt = await app.execute(TagOrder(A, "x"), id=ID)
        assert (receipt.result, receipt.position) == (1, 2)
        with pytest.raises(IdempotencyConflictError):
            await app.send(TagOrder(A, "z"), id=ID)

        await app.recorder.assert_appended(OrderTagged(A, "x"), OrderTagged(A, "y"))


async def test_the_same_id_at_the_same_time_is_handled_once_in_effect(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:
        answers = await asyncio.gather(*(app.send(PlaceOrder(A), id=ID) for _ in range(20)))

        assert set(answers) == {A}
        assert len(await app.recorder.appended(OrderPlaced)) == 1


# ------------------------------------------------------------------- aggregates with a row


def crm() -> BoundedContext:
    crm = BoundedContext("crm")

    @crm.handler
    async def register(command: Register, customers: Repository[Customer]) -> None:
        customers.add(Customer.register(command.customer_id, command.email))

    return crm


async def test_racing_duplicates_of_a_unique_field_leave_one_winner(storage: Storage) -> None:
    async with TestApp(crm(), storage=storage) as app:
        outcomes = await asyncio.gather(
            *(app.send(Register(f"c-{n}", "ada@example.org")) for n in range(20)),
            return_exceptions=True,
        )

        refused = [outcome for outcome in outcomes if outcome is not None]
        assert len(refused) == 19
        for error in refused:
            assert isinstance(error, DuplicateValueError)
            assert (error.field, error.value) == ("email", "ada@example.org")
        [registered] = await app.recorder.appended(CustomerRegistered)
        assert registered.email == "ada@example.org"


async def test_a_duplicate_can_be_answered_as_a_refusal_by_a_behaviour(storage: Storage) -> None:
    context = crm()
    context.behaviour(answer_duplicates, on=Register, order=-1)

    async with TestApp(context, storage=storage) as app:
        await app.send(Register("c-1", "ada@example.org"))
        with pytest.raises(EmailTakenError):
            await app.send(Register("c-2", "ada@example.org"))


async def answer_duplicates(message: Register, next: Next[Register, None]) -> None:
    try:
        await next(message)
    except DuplicateValueError as error:
        raise EmailTakenError(message.email) from error


# ------------------------------------------------------------------------- apart from others


async def test_two_apps_in_one_process_do_not_know_of_each_other() -> None:
    shared, heard = sales(), list[object]()

    @shared.subscriber
    async def gets(event: OrderPlaced) -> None:
        heard.append(event.order_id)

    first, second = App("first"), App("second")
    first.include(shared)
    second.include(shared)
    async with first, second:
        await first.send(PlaceOrder(A))
        await first.settle()

        assert heard == [A]
        assert await second.settle() == 0
        assert await second.send(PlaceOrder(A)) == A
        await second.settle()
    assert heard == [A, A]


class Relay(Command[UUID], context="sales"):
    order_id: UUID


async def test_a_message_to_another_app_out_of_a_handler_is_committed_there() -> None:
    first_context, second_context = sales(), sales()
    heard: list[UUID] = []
    second = TestApp(second_context, name="second")

    @first_context.handler
    async def relay(command: Relay, orders: Repository[Order]) -> UUID:
        orders.add(Order.place(A, Decimal(1)))
        receipt = await second.execute(PlaceOrder(command.order_id))
        await second.publish(OrderShipped(command.order_id))
        assert [tag async for tag in second.stream(ListTags(command.order_id))] == []
        assert await second.send(TagOrder(command.order_id, "x"), id=ID) == 1
        return receipt.result

    @second_context.on
    async def hears(event: OrderShipped, orders: Repository[Order]) -> None:
        heard.append((await orders.get(event.order_id)).id)

    async with TestApp(first_context, name="first") as first, second:
        assert await first.send(Relay(B)) == B

        await first.recorder.assert_appended(OrderPlaced(A, Decimal(1)))
        await second.recorder.assert_appended(
            OrderPlaced(B, PlaceOrder(B).total), OrderTagged(B, "x")
        )
        assert heard == [B]


async def test_an_append_by_hand_and_a_command_exclude_each_other(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:
        await app.send(PlaceOrder(A))
        store = await app.get(EventStore)

        async def append(n: int) -> None:
            event = OrderTagged(A, f"by hand {n}")
            await store.append(f"sales.order-{A}", [event], expected=ExpectedVersion.any())

        await asyncio.gather(
            *(append(n) for n in range(20)),
            *(app.send(TagOrder(A, uuid4().hex)) for _ in range(20)),
        )

        assert len(await app.recorder.appended(OrderTagged)) == 40
