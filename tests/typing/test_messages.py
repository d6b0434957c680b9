"""What mypy and pyright make of messages: both read this file, and neither needs a plug-in.

``assert_type`` holds what is inferred; an ignored error holds what is refused, because both
checkers report an ignore that is not needed. pytest runs it too, so that the types and the
machine say the same.
"""

import dataclasses
from typing import TypeVar, assert_type
from uuid import UUID, uuid4

import attrs
import msgspec
import pytest
from pydantic import BaseModel

from headwater.messages import (
    Command,
    Event,
    IntegrationEvent,
    Message,
    Notification,
    Query,
    Request,
    Value,
)

R = TypeVar("R")


def response_of(request: Request[R]) -> list[R]:
    """Stand for what takes a request and gives its response."""
    del request
    return []


class OrderLine(Value):
    article: str
    quantity: int = 1


class OrderView(Value):
    order_id: UUID


class PlaceOrder(Command[UUID]):
    customer_id: str
    lines: tuple[OrderLine, ...] = ()
    notes: list[str] = msgspec.field(default_factory=list[str])


class ShipOrder(Command[None], kw_only=True):
    order_id: UUID
    tracking_number: str = ""


class GetOrder(Query[OrderView | None]):
    order_id: UUID


class OrderShipped(Event, name="shipped", context="sales", version=2):
    order_id: UUID


class OrderDelayed(Notification):
    order_id: UUID


class OrderAccepted(IntegrationEvent):
    order_id: UUID


@dataclasses.dataclass(frozen=True)
class RefundOrder(Request[int]):
    order_id: UUID


@attrs.frozen
class CancelOrder(Request[bool]):
    order_id: UUID


class RegisterCustomer(BaseModel, Request[UUID]):
    email: str


ORDER_ID = uuid4()


def test_a_request_knows_its_response() -> None:
    assert_type(response_of(PlaceOrder("ada")), list[UUID])
    assert_type(response_of(ShipOrder(order_id=ORDER_ID)), list[None])
    assert_type(response_of(GetOrder(ORDER_ID)), list[OrderView | None])


def test_a_foreign_request_knows_its_response() -> None:
    assert_type(response_of(RefundOrder(ORDER_ID)), list[int])
    assert_type(response_of(CancelOrder(ORDER_ID)), list[bool])
    assert_type(response_of(RegisterCustomer(email="ada@example.org")), list[UUID])


def test_a_response_may_be_taken_for_a_wider_type() -> None:
    wider: Request[object] = PlaceOrder("ada")
    narrower: Request[OrderView] = GetOrder(ORDER_ID)  # type: ignore[assignment]

    assert [wider, narrower]


def test_a_request_as_a_base_type_keeps_its_response() -> None:
    command: Command[UUID] = PlaceOrder("ada")
    query: Query[OrderView | None] = GetOrder(ORDER_ID)
    messages: list[Message] = [command, query, OrderShipped(ORDER_ID), OrderDelayed(ORDER_ID)]

    assert_type(response_of(command), list[UUID])
    assert_type(response_of(query), list[OrderView | None])
    assert len(messages) == 4


def test_a_record_takes_its_fields_by_place_or_by_name() -> None:
    assert_type(PlaceOrder("ada", (OrderLine("Kind of Blue"),)), PlaceOrder)
    assert_type(PlaceOrder(customer_id="ada", notes=["ring twice"]), PlaceOrder)
    assert_type(OrderLine("Kind of Blue", quantity=2), OrderLine)
    assert_type(ShipOrder(order_id=ORDER_ID, tracking_number="1Z"), ShipOrder)
    assert_type(OrderAccepted(ORDER_ID), OrderAccepted)


def test_the_fields_of_a_record_have_their_types() -> None:
    command = PlaceOrder("ada")

    assert_type(command.customer_id, str)
    assert_type(command.lines, tuple[OrderLine, ...])
    assert_type(command.notes, list[str])


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(TypeError):
        PlaceOrder()  # type: ignore[call-arg]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError):
        PlaceOrder("ada", customer="ada")  # type: ignore[call-arg]


def test_one_value_too_many_is_refused() -> None:
    with pytest.raises(TypeError):
        OrderShipped(ORDER_ID, 7)  # type: ignore[call-arg]


def test_a_keyword_only_field_is_refused_by_place() -> None:
    with pytest.raises(TypeError):
        ShipOrder(ORDER_ID)  # type: ignore[call-arg]


def test_a_value_of_another_type_is_refused_by_the_checkers_only() -> None:
    placed = PlaceOrder(7)  # type: ignore[arg-type]

    kept: object = placed.customer_id
    assert kept == 7


def test_a_change_of_a_record_is_refused() -> None:
    line, shipped, command = OrderLine("Kind of Blue"), OrderShipped(ORDER_ID), PlaceOrder("ada")

    with pytest.raises(AttributeError):
        line.quantity = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        shipped.order_id = uuid4()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        command.customer_id = "bob"  # type: ignore[misc]


def test_what_is_no_request_has_no_response() -> None:
    assert response_of(OrderShipped(ORDER_ID)) == []  # type: ignore[arg-type]
