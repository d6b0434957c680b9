"""Fakes of the mediator for unit tests of handlers."""

from decimal import Decimal
from uuid import UUID

import pytest

from headwater.mediator import Publisher, Sender
from headwater.testing import RecordingPublisher, RecordingSender
from tests.app.shop import GetOrder, OrderPlaced, OrderShipped, PlaceOrder, ShipOrder, TagOrder

A, B = UUID(int=1), UUID(int=2)


async def place_and_ship(sender: Sender, order_id: UUID) -> UUID:
    placed = await sender.send(PlaceOrder(order_id))
    await sender.send(ShipOrder(placed))
    return placed


async def tell(publisher: Publisher) -> None:
    await publisher.publish(OrderShipped(A))
    await publisher.publish(OrderShipped(B), after_commit=True)


async def test_a_sender_answers_as_told_and_remembers() -> None:
    sender = RecordingSender()
    sender.answer(PlaceOrder, B)

    assert await place_and_ship(sender, A) == B

    assert sender.sent(ShipOrder) == (ShipOrder(B),)
    sender.assert_sent(PlaceOrder(A), ShipOrder(B))
    sender.assert_not_sent(TagOrder)


async def test_a_sender_answers_by_a_function_which_may_raise() -> None:
    sender = RecordingSender()
    sender.answer_by(PlaceOrder, lambda command: command.order_id)

    def refuse(command: ShipOrder) -> None:
        raise LookupError(command.order_id)

    sender.answer_by(ShipOrder, refuse)

    with pytest.raises(LookupError):
        await place_and_ship(sender, A)
    assert sender.sent(object) == (PlaceOrder(A), ShipOrder(A))


async def test_a_sender_without_an_answer_says_so() -> None:
    sender = RecordingSender()

    with pytest.raises(AssertionError, match=r"no answer for PlaceOrder\. Give it one: sender\.an"):
        await sender.send(PlaceOrder(A))
    with pytest.raises(AssertionError, match="no answer for GetOrder"):
        await sender.send(GetOrder(A))


async def test_a_publisher_remembers_what_was_put_off_too() -> None:
    publisher = RecordingPublisher()

    await tell(publisher)

    publisher.assert_published(OrderShipped(A), OrderShipped(B))
    assert publisher.published(OrderShipped, after_commit=True) == (OrderShipped(B),)
    assert publisher.published(OrderShipped, after_commit=False) == (OrderShipped(A),)
    publisher.assert_not_published(OrderPlaced)


async def test_other_messages_are_told_field_by_field_with_a_count_of_all() -> None:
    publisher = RecordingPublisher()
    await tell(publisher)

    with pytest.raises(AssertionError) as told:
        publisher.assert_published(OrderShipped(B), OrderPlaced(A, Decimal(1)))

    assert str(told.value) == (
        "Other messages were published than expected.\n"
        f"  message 1, OrderShipped.order_id: expected {B!r}, got {A!r}\n"
        f"  message 2: expected {OrderPlaced(A, Decimal(1))!r}, got {OrderShipped(B)!r}\n"
        "  In all: 2 OrderShipped."
    )


async def test_what_should_not_have_been_is_told() -> None:
    publisher = RecordingPublisher()
    await tell(publisher)

    with pytest.raises(AssertionError) as told:
        publisher.assert_not_published()

    assert str(told.value) == (
        "Expected that nothing was published, but there was:\n"
        f"  {OrderShipped(A)!r}\n  {OrderShipped(B)!r}"
    )
