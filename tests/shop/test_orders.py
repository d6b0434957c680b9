"""The rules of orders and customers, as the business would say them."""

import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import pytest

from examples.shop.customers.customer import Customer
from examples.shop.customers.errors import EmailInvalidError
from examples.shop.customers.events import CustomerRegistered, EmailChanged
from examples.shop.sales.errors import (
    EmptyOrderError,
    MissingReasonError,
    OrderClosedError,
    OrderLineError,
    OrderNotConfirmedError,
    OrderNotOpenError,
)
from examples.shop.sales.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderShipped,
)
from examples.shop.sales.order import Order
from examples.shop.sales.status import OrderStatus
from headwater import RefusedError
from headwater.testing.scenarios import given, given_nothing

ID: Final = UUID(int=7)
NOON: Final = datetime(1997, 1, 2, 12, tzinfo=UTC)
DAY: Final = date(1997, 1, 2)
LINES: Final = (OrderLine("cd", 2, Decimal("20.50")), OrderLine("box", 1, Decimal("0.00")))
TOTAL: Final = Decimal("20.50")

PLACED: Final = OrderPlaced(ID, "00001", DAY, LINES, TOTAL)
CONFIRMED: Final = OrderConfirmed(ID, "00001", TOTAL)
SHIPPED: Final = OrderShipped(ID, LINES, "X1")
CANCELLED: Final = OrderCancelled(ID, "00001", DAY, LINES, TOTAL, "changed my mind")


def test_an_order_adds_up_its_lines_and_happens_when_it_was_placed() -> None:
    outcome = given_nothing(Order).when(lambda: Order.place(ID, "00001", LINES, NOON))

    outcome.then(PLACED)
    assert [pending.occurred_at for pending in outcome.aggregate.pending] == [NOON]


def test_an_order_has_a_line() -> None:
    outcome = given_nothing(Order).when(lambda: Order.place(ID, "00001", (), NOON))

    outcome.then_raises(EmptyOrderError)


@pytest.mark.parametrize(
    ("quantity", "amount"), [(0, "1.00"), (-1, "1.00"), (1, "-0.01"), (1, "NaN")]
)
def test_a_line_must_be_one_that_can_be_sold(quantity: int, amount: str) -> None:
    line = OrderLine("cd", quantity, Decimal(amount))

    outcome = given_nothing(Order).when(lambda: Order.place(ID, "00001", (line,), NOON))

    assert outcome.then_raises(OrderLineError).quantity == quantity


def test_a_placed_order_is_confirmed_then_shipped() -> None:
    given(Order, ID, PLACED).when(lambda order: order.confirm(NOON)).then(CONFIRMED)
    given(Order, ID, PLACED, CONFIRMED).when(lambda order: order.ship("X1", NOON)).then(SHIPPED)


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((PLACED,), OrderStatus.PLACED),
        ((PLACED, CANCELLED), OrderStatus.CANCELLED),
        ((PLACED, CONFIRMED, SHIPPED), OrderStatus.SHIPPED),
    ],
)
def test_only_a_confirmed_order_is_shipped(
    history: tuple[object, ...], status: OrderStatus
) -> None:
    outcome = given(Order, ID, *history).when(lambda order: order.ship("X1", NOON))

    assert outcome.then_raises(OrderNotConfirmedError).status is status


@pytest.mark.parametrize(
    "history", [(PLACED, CONFIRMED), (PLACED, CANCELLED), (PLACED, CONFIRMED, SHIPPED)]
)
def test_only_a_placed_order_is_confirmed(history: tuple[object, ...]) -> None:
    outcome = given(Order, ID, *history).when(lambda order: order.confirm(NOON))

    outcome.then_raises(OrderNotOpenError)


@pytest.mark.parametrize("history", [(PLACED,), (PLACED, CONFIRMED)])
def test_an_order_that_is_not_shipped_is_cancelled_for_a_reason(
    history: tuple[object, ...],
) -> None:
    scenario = given(Order, ID, *history)

    scenario.when(lambda order: order.cancel("changed my mind", NOON)).then(CANCELLED)


def test_nobody_cancels_without_a_reason() -> None:
    outcome = given(Order, ID, PLACED).when(lambda order: order.cancel(" ", NOON))

    outcome.then_raises(MissingReasonError)


@pytest.mark.parametrize("history", [(PLACED, CONFIRMED, SHIPPED), (PLACED, CANCELLED)])
def test_a_closed_order_is_not_cancelled(history: tuple[object, ...]) -> None:
    outcome = given(Order, ID, *history).when(lambda order: order.cancel("late", NOON))

    outcome.then_raises(OrderClosedError)


def test_a_customer_is_reached_under_one_spelling() -> None:
    given_nothing(Customer).when(lambda: Customer.register("1", " Ada@Example.ORG ", NOON)).then(
        CustomerRegistered("1", "ada@example.org")
    )


@pytest.mark.parametrize("email", ["", "ada", "@example.org", "ada@", "a b@c.org", "a@b\r\nTo: c"])
def test_a_customer_has_an_address_that_can_be_written_to(email: str) -> None:
    outcome = given_nothing(Customer).when(lambda: Customer.register("1", email, NOON))

    outcome.then_raises(EmailInvalidError)


def test_the_same_address_again_is_no_change() -> None:
    registered = CustomerRegistered("1", "ada@example.org")

    given(Customer, "1", registered).when(
        lambda customer: customer.change_email("ADA@example.org", NOON)
    ).then_nothing()
    given(Customer, "1", registered).when(
        lambda customer: customer.change_email("ada@example.net", NOON)
    ).then(EmailChanged("1", "ada@example.net", "ada@example.org"))


@pytest.mark.parametrize(
    "error",
    [
        EmptyOrderError(ID),
        OrderLineError("cd", quantity=0, amount=TOTAL),
        OrderClosedError(ID, OrderStatus.SHIPPED),
        EmailInvalidError("ada"),
    ],
)
def test_a_refusal_keeps_its_values_in_another_process(error: RefusedError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
