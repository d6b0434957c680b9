"""Scenarios read as the business speaks, and say field by field what is not as expected."""

import gc
import re
from uuid import UUID

import pytest

from headwater.errors import ApplyError, UnknownEventError
from headwater.messages import Event
from headwater.testing.scenarios import given, given_nothing
from tests.domain.shop import (
    Account,
    AlreadyShippedError,
    Customer,
    CustomerRegistered,
    Deposit,
    Deposited,
    InsufficientFundsError,
    Line,
    LineAdded,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderStatus,
    Withdraw,
    Withdrawn,
    account,
)

ID = UUID(int=7)
CD, DVD = Line("cd", 1), Line("dvd", 2)
PLACED, SHIPPED = OrderPlaced(ID, (CD,)), OrderShipped(ID, "X1")


class Odd(Event):
    pass


def failure(text: str) -> str:
    return rf"\A{re.escape(text)}\Z"


# ------------------------------------------------------------------- what is as expected


def test_an_action_records_events() -> None:
    given(Order, ID, PLACED).when(lambda order: order.ship("X1")).then(SHIPPED)


def test_an_action_may_do_nothing() -> None:
    given(Order, ID, PLACED, SHIPPED).when(lambda order: order.ship("X1")).then_nothing()


def test_a_refusal_is_returned() -> None:
    outcome = given(Order, ID, PLACED, SHIPPED).when(lambda order: order.add(CD))

    refusal = outcome.then_raises(AlreadyShippedError, match="is shipped already")

    assert refusal.order_id == ID


def test_a_new_aggregate_begins_with_nothing() -> None:
    created = given_nothing(Order).when(lambda: Order.place(ID, CD)).then(PLACED)

    assert created.aggregate.lines == [CD]


def test_the_state_can_be_looked_at_after_the_events() -> None:
    given(Order, ID, PLACED).when(lambda order: order.add(DVD)).then(LineAdded(DVD)).then_state(
        lines=[CD, DVD], status=OrderStatus.PLACED
    )


def test_a_decider_decides() -> None:
    given(account, Deposited(10)).when(Withdraw(4)).then(Withdrawn(4)).then_state(Account(6))
    given(account).when(Deposit(0)).then_nothing()
    given(account).when(Withdraw(1)).then_raises(InsufficientFundsError, match="only 0 cents")


# ---------------------------------------------------------------- what is not as expected


def test_other_events_are_told_field_by_field() -> None:
    outcome = given_nothing(Order).when(lambda: Order.place(ID, CD, DVD))

    with pytest.raises(
        AssertionError,
        match=failure(
            f"Order {ID}: other events than expected.\n"
            f"  event 1, OrderPlaced.order_id: expected {UUID(int=8)!r}, got {ID!r}\n"
            f"  event 1, OrderPlaced.lines[1].quantity: expected 3, got 2"
        ),
    ):
        outcome.then(OrderPlaced(UUID(int=8), (CD, Line("dvd", 3))))


def test_missing_additional_and_other_events_are_told() -> None:
    outcome = given(Order, ID).when(lambda order: order.record(PLACED))

    with pytest.raises(
        AssertionError, match=rf"\n  event 1: expected {re.escape(repr(SHIPPED))}, got OrderPlaced"
    ):
        outcome.then(SHIPPED)
    with pytest.raises(AssertionError, match=r"than expected\.\n  event 2: missing OrderShipped\("):
        outcome.then(PLACED, SHIPPED)
    with pytest.raises(AssertionError, match=r"than expected\.\n  event 1: unexpected OrderPl"):
        outcome.then_nothing()


def test_an_error_instead_of_events_is_told_and_is_the_cause() -> None:
    outcome = given(Order, ID, PLACED, SHIPPED).when(lambda order: order.add(CD))

    with pytest.raises(AssertionError, match=r"expected 1 event\(s\), but it raised Already") as c:
        outcome.then(LineAdded(CD))

    assert isinstance(c.value.__cause__, AlreadyShippedError)


def test_a_missing_or_other_error_is_told() -> None:
    fine = given(Order, ID, PLACED).when(lambda order: order.ship("X1"))
    refused = given(Order, ID, PLACED, SHIPPED).when(lambda order: order.ship("X2"))

    with pytest.raises(AssertionError, match=r"but nothing was raised\. Events: OrderShipped\("):
        fine.then_raises(AlreadyShippedError)
    with pytest.raises(AssertionError, match="expected InsufficientFundsError, got AlreadyShipped"):
        refused.then_raises(InsufficientFundsError)
    with pytest.raises(AssertionError, match=r"with a text that matches 'never', got 'Order"):
        refused.then_raises(AlreadyShippedError, match="never")


def test_another_state_is_told() -> None:
    outcome = given(Order, ID, PLACED).when(lambda order: order.ship("X1"))

    with pytest.raises(
        AssertionError,
        match=failure(
            f"Order {ID}: another state than expected.\n"
            f"  lines[0].sku: expected 'dvd', got 'cd'\n"
            f"  lines[0].quantity: expected 2, got 1\n"
            f"  colour: expected 'red', but there is no such attribute"
        ),
    ):
        outcome.then_state(lines=[DVD], status=OrderStatus.SHIPPED, colour="red")
    with pytest.raises(AssertionError, match=r"state than expected\.\n  balance_cents: expected 1"):
        given(account).when(Deposit(2)).then_state(Account(1))


def test_a_creation_that_fails_or_gives_something_else_is_told() -> None:
    refused = given_nothing(Customer).when(refuse)

    with pytest.raises(AssertionError, match="New aggregate: expected an aggregate, but it raised"):
        _ = refused.aggregate
    with pytest.raises(AssertionError, match="Expected a new Customer, got <Order"):
        given_nothing(Customer).when(lambda: Order.place(ID))  # type: ignore[arg-type, return-value]


def refuse() -> Customer:
    raise AlreadyShippedError(ID)


def test_a_history_that_can_not_have_happened_is_an_error() -> None:
    with pytest.raises(UnknownEventError, match="Odd"):
        given(Order, ID, Odd())
    with pytest.raises(ApplyError, match="negative quantity"):
        given(Order, ID, LineAdded(Line("bad", -1)))
    given(Customer, "c-1", CustomerRegistered("a@b")).when(lambda customer: None).then_nothing()


def test_an_error_that_no_then_looked_at_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"when\(\) raised AlreadyShippedError.*no then looked"):
        forget_to_look()


def forget_to_look() -> None:
    given(Order, ID, PLACED, SHIPPED).when(lambda order: order.add(CD))
    gc.collect()
