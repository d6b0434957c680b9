"""Everything that is wrong in the wiring is told at once, with its place and what to do."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Protocol, runtime_checkable
from uuid import UUID, uuid4

import pytest

from headwater.app import App, BoundedContext
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.errors import WiringError, WiringFault
from headwater.mediator import Stage
from headwater.messages import Command, Event
from headwater.metadata import Recorded
from headwater.projections.projection import Projection
from headwater.unit_of_work.collection import Collection
from tests.app.orders import sales
from tests.app.shop import (
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderSummary,
    PlaceOrder,
)


class Unheard(Event, context="sales"):
    pass


class Unhandled(Command[None], context="sales"):
    pass


@runtime_checkable
class HasWeight(Protocol):
    weight: int


class Tax(ReadModel, key="year", context="sales"):
    year: int
    total: Decimal = Decimal(0)


class Unindexable(ReadModel, key="year", indexed=("years",), context="sales"):
    year: int
    years: tuple[int, ...] = ()


class EmailService(Protocol):
    def mail(self) -> None: ...


def faults_of(*contexts: BoundedContext, **options: object) -> tuple[WiringFault, ...]:
    app = App("shop", **options)  # type: ignore[arg-type] # passed on as they are
    app.include(*contexts)
    with pytest.raises(WiringError) as told:
        app.check()
    return told.value.faults


def the_fault(*contexts: BoundedContext) -> WiringFault:
    [fault] = faults_of(*contexts)
    return fault


def line_of(text: str) -> int:
    """Return the line of this file that holds *text* first."""
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


def test_faults_of_all_kinds_come_together_each_with_file_and_line() -> None:
    context = sales()
    context.expects(Unhandled)

    @context.handler
    async def second_place(command: PlaceOrder) -> UUID:
        return uuid4()

    @context.on
    async def needs_email(event: OrderShipped, email: EmailService) -> None: ...

    @context.subscriber
    async def wants_unknown(event: HasWeight) -> None: ...

    @context.subscriber
    async def takes_no_event(event: HasWeight | int) -> None: ...

    @context.behaviour(on=Unheard, stage=Stage.NOTIFICATION)
    async def around_nothing(message: Unheard, next: object) -> None: ...

    @context.projection
    class Taxes(Projection[Tax]):
        @applies
        def has_no_key(self, event: OrderPlaced, row: Tax | None) -> Tax | None: ...

        @applies
        def another_row(self, event: OrderShipped, row: OrderSummary) -> Tax | None: ...

    @context.projection(database="nowhere")
    class Elsewhere(Projection[OrderSummary]):
        @applies
        def placed(self, event: OrderPlaced, row: OrderSummary | None) -> OrderSummary | None: ...

    faults = [str(fault) for fault in faults_of(context)]

    for what, place in {
        "has no field 'year' to find the row by": "def has_no_key",
        "takes a row of": "def another_row",
        "wants database 'nowhere', which the app does not have": "@context.projection(database=",
        "no handler for Unhandled": "context.expects(Unhandled)",
        "PlaceOrder has a second handler": "async def second_place",
        "EmailService": "async def needs_email",
        "wants HasWeight, but the app knows no such event": "async def wants_unknown",
        "takes_no_event": "async def takes_no_event",
        "around_nothing": "async def around_nothing",
    }.items():
        [fault] = [fault for fault in faults if what in fault]
        found = re.match(r"(?P<file>[^:]*test_wiring\.py):(?P<line>\d+): ", fault)
        assert found is not None, fault
        # The decorator, or the line of the def or class below it.
        assert line_of(place) - int(found["line"]) in (0, 1), fault
    assert len(faults) == 9, "\n".join(faults)


def test_what_is_wrong_with_a_subscription_is_told_with_the_advice() -> None:
    context = sales()

    @context.subscriber
    async def wants_unknown(event: HasWeight) -> None: ...

    advice = the_fault(context).advice

    assert "context.register(" in advice
    assert "context.scan(" in advice


def test_two_subscriptions_with_one_name_are_a_fault() -> None:
    context = sales()
    for _ in range(2):

        @context.subscriber
        async def mail(event: OrderPlaced) -> None: ...

    @context.subscriber(name="mail")
    async def post(event: OrderPlaced) -> None: ...

    faults = faults_of(context)

    assert len(faults) == 2
    for fault in faults:
        assert "is called 'sales.mail', as is the subscription at" in fault.problem
        assert "name='…'" in fault.advice


def test_a_subscriber_and_a_projection_that_are_registered_twice_are_faults() -> None:
    context = sales()

    async def mail(event: OrderPlaced) -> None: ...

    context.subscriber(mail)
    context.subscriber(name="again")(mail)
    context.projection(OrderSummaries)

    problems = [fault.problem for fault in faults_of(context)]

    assert len(problems) == 2
    assert all("is registered twice" in problem for problem in problems)


def test_a_read_model_that_can_not_be_kept_is_a_fault_before_anything_is_opened() -> None:
    context = sales()

    @context.on
    async def look(event: OrderShipped, rows: Collection[Unindexable]) -> None: ...

    assert "Unindexable.years can't be indexed" in the_fault(context).problem


def test_two_read_models_kept_under_one_name_are_a_fault() -> None:
    class OrderSummary(ReadModel, key="order", context="sales"):
        order: str

    context = sales()
    context.register(OrderSummary)

    fault = the_fault(context)

    assert "are both kept in 'sales_order_summary'" in fault.problem


def test_recorded_events_are_for_subscribers_only() -> None:
    context = sales()

    @context.on
    async def hears(event: Recorded[OrderPlaced]) -> None: ...

    assert "Recorded" in the_fault(context).problem


def test_check_can_be_called_again_when_the_faults_are_mended() -> None:
    context = sales()
    context.expects(Unhandled)
    app = App("shop")
    app.include(context)
    with pytest.raises(WiringError):
        app.check()

    @context.handler
    async def handle(command: Unhandled) -> None: ...

    app.check()
    app.check()
