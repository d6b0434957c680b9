"""Scenarios of projections: rows, events, rows, without a storage."""

import re
from decimal import Decimal
from uuid import UUID

import pytest

from headwater.domain.applies import applies
from headwater.errors import (
    ProjectionKeyError,
    RoundTripError,
    RowMissingError,
    UnknownEventError,
)
from headwater.projections.projection import Projection
from headwater.testing import given, recorded
from tests.app.shop import (
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderSummary,
    OrderTagged,
)

A, B = UUID(int=1), UUID(int=2)
TEN, SIX = Decimal(10), Decimal(6)


class Odd(Projection[OrderSummary]):
    @applies
    def another_row(self, event: OrderPlaced, row: OrderSummary | None) -> OrderSummary:
        return OrderSummary(B, event.total)

    @applies
    def unwritable(self, event: OrderShipped, row: OrderSummary | None) -> OrderSummary:
        return OrderSummary(event.order_id, Decimal("NaN"))


def test_events_make_rows() -> None:
    given(OrderSummaries).when(
        OrderPlaced(A, TEN), OrderPlaced(B, SIX), OrderShipped(A), OrderTagged(A, "gift")
    ).then(OrderSummary(B, SIX, position=2), OrderSummary(A, TEN, True, 1, 1))


def test_rows_that_are_there_are_changed_kept_and_deleted() -> None:
    outcome = given(OrderSummaries, OrderSummary(A, TEN), OrderSummary(B, SIX)).when(
        OrderShipped(A)
    )

    outcome.then(OrderSummary(A, TEN, True), OrderSummary(B, SIX))
    assert outcome.row(A).shipped
    given(OrderSummaries, OrderSummary(A, TEN)).when(OrderTagged(A, "test")).then_nothing()


def test_a_scenario_can_be_used_twice() -> None:
    placed = given(OrderSummaries, OrderSummary(A, TEN))

    placed.when(OrderTagged(A, "test")).then_nothing()
    placed.when(OrderShipped(A)).then(OrderSummary(A, TEN, True))


def test_a_method_that_takes_the_record_gets_one() -> None:
    event = recorded(OrderPlaced(A, TEN), position=7, actor="ada")

    given(OrderSummaries).when(event).then(OrderSummary(A, TEN, position=7))


def test_the_record_of_an_event_is_the_same_each_time() -> None:
    event = recorded(OrderPlaced(A, TEN), position=3)

    assert event == recorded(OrderPlaced(A, TEN), position=3)
    assert event.id != recorded(OrderPlaced(A, TEN), position=4).id
    assert (event.version, event.type) == (3, "test.order-placed")
    assert event.occurred_at.isoformat() == "2024-01-01T00:00:03+00:00"


def test_what_would_stop_the_projection_is_raised() -> None:
    given(OrderSummaries).when(OrderShipped(A)).then_raises(RowMissingError, match="needs row")
    given(OrderSummaries).when(object()).then_raises(UnknownEventError)
    given(Odd).when(OrderPlaced(A, TEN)).then_raises(ProjectionKeyError)
    given(Odd).when(OrderShipped(A)).then_raises(RoundTripError)


def test_rows_that_can_not_be_there_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows are given with key"):
        given(OrderSummaries, OrderSummary(A, TEN), OrderSummary(A, SIX))


def test_other_rows_are_told_field_by_field() -> None:
    outcome = given(OrderSummaries).when(OrderPlaced(A, TEN), OrderPlaced(B, SIX))
    missing = OrderSummary(UUID(int=3), TEN)

    with pytest.raises(AssertionError) as told:
        outcome.then(OrderSummary(A, SIX, position=1), missing)

    assert str(told.value) == (
        "OrderSummaries: other rows than expected.\n"
        f"  row '{A}', OrderSummary.total: expected Decimal('6'), got Decimal('10')\n"
        f"  row '{missing.order_id}': missing {missing!r}\n"
        f"  row '{B}': unexpected {OrderSummary(B, SIX, position=2)!r}"
    )


def test_a_failed_event_is_told_with_its_error() -> None:
    outcome = given(OrderSummaries).when(OrderShipped(A))

    with pytest.raises(AssertionError, match=r"expected 0 row\(s\), but it raised RowMissingError"):
        outcome.then_nothing()
    with pytest.raises(AssertionError, match="but it raised RowMissingError"):
        outcome.row(A)


def test_a_missing_error_and_a_missing_row_tell_the_rows() -> None:
    outcome = given(OrderSummaries, OrderSummary(A, TEN)).when()

    with pytest.raises(AssertionError, match=r"nothing was raised\. Rows: OrderSummary\("):
        outcome.then_raises(RowMissingError)
    with pytest.raises(AssertionError, match=re.escape(f"no row '{B}'. Rows: '{A}'.")):
        outcome.row(B)
