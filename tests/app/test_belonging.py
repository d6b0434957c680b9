"""Belonging: by the class header, else by the package, else to the app's default context."""

import subprocess
import sys
from pathlib import Path

import pytest

from headwater.app import App, BoundedContext
from headwater.errors import WiringError
from headwater.event_store import EventStore
from headwater.messages import Command, Event
from headwater.streams import ExpectedVersion
from headwater.testing import TestApp
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from tests.app.packages.sales import sales
from tests.app.packages.sales.events import Invoiced, Sale, SaleRow, Sold
from tests.app.packages.sales.returns.events import Returned
from tests.app.packages.twins import Settled, Torn, TornAggregate, TornRow, left, right
from tests.app.shop import CustomerMoved


class Sell(Command[None]):
    sku: str


async def stored_types(app: TestApp, *events: object) -> list[str]:
    store = await app.get(EventStore)
    await store.append("x-1", events, expected=ExpectedVersion.any())
    return [event.type async for event in store.read_stream("x-1")]


async def test_what_stands_in_or_below_the_package_of_a_context_belongs_to_it() -> None:
    other = BoundedContext("other")
    other.register(Sold, Returned)

    async with TestApp(sales, other) as app:
        assert await stored_types(app, Sold("a"), Returned("a")) == ["sales.sold", "sales.returned"]


async def test_the_class_header_overrides_the_package() -> None:
    context = BoundedContext("other")
    context.register(Sold, Invoiced)

    async with TestApp(sales, context) as app:
        assert await stored_types(app, Invoiced("a")) == ["billing.invoiced"]


async def test_what_belongs_to_none_belongs_to_the_apps_own_context() -> None:
    context = BoundedContext("other")
    context.package = "somewhere.else"
    context.register(Sold, CustomerMoved)

    async with TestApp(context, name="shop") as app:
        types = await stored_types(app, Sold("a"), CustomerMoved("ada", "London"))

    assert types == ["shop.sold", "crm.customer-moved"]


async def test_streams_and_rows_have_the_name_of_their_context() -> None:
    other = BoundedContext("other")

    @other.handler
    async def sell(command: Sell, sales: Repository[Sale], rows: Collection[SaleRow]) -> None:
        sale = Sale(command.sku)
        sale.record(Sold(command.sku))
        sales.add(sale)
        rows.put(SaleRow(command.sku))

    async with TestApp(sales, other) as app:
        await app.send(Sell("tea"))

        [sold] = await app.recorder.records(Sold)
        assert sold.stream_id == "sales.sale-tea"
        assert list(await app.app.storage.get_rows("sales_sale_row", ("tea",))) == ["tea"]


@pytest.fixture
def scanned() -> BoundedContext:
    """A context that has scanned a package, which reads files: not on an event loop."""
    context = BoundedContext("other")
    context.scan("tests.app.packages.sales")
    return context


async def test_scanning_a_package_makes_its_events_known(scanned: BoundedContext) -> None:
    async with TestApp(sales, scanned) as app:
        types = await stored_types(app, Sold("a"), Invoiced("a"), Returned("a"))

    assert types == ["sales.sold", "billing.invoiced", "sales.returned"]


# ---------------------------------------------------------------------------- what is wrong


def test_two_contexts_in_one_package_are_a_fault_for_each_class_that_names_none() -> None:
    left_again, right_again = BoundedContext("left"), BoundedContext("right")
    for context, original in ((left_again, left), (right_again, right)):
        context.package = original.package
    left_again.register(Torn, Settled, TornAggregate, TornRow)
    app = App("shop")
    app.include(left_again, right_again)

    with pytest.raises(WiringError) as told:
        app.check()

    assert len(told.value.faults) == 3
    for fault, name in zip(told.value.faults, ("Torn", "TornAggregate", "TornRow"), strict=True):
        assert f"tests.app.packages.twins.{name} could belong to any of" in fault.problem
        assert "'left', 'right'" in fault.problem
        assert "context='…'" in str(fault)
        assert "twins/__init__.py" in fault.where


async def test_classes_that_say_where_they_belong_need_no_package() -> None:
    left.register(Settled)

    async with TestApp(left, right) as app:
        assert await stored_types(app, Settled("a")) == ["left.settled"]


def test_two_contexts_with_one_name_are_a_fault_that_names_both_places() -> None:
    first, second = BoundedContext("order-desk"), BoundedContext("order_desk")
    app = App("shop")
    app.include(first, second)

    with pytest.raises(WiringError) as told:
        app.check()

    [fault] = told.value.faults
    assert "two contexts are called" in fault.problem
    assert first.site in fault.problem
    assert fault.where == second.site
    assert Path(__file__).name in fault.where


def test_two_events_with_one_stored_name_are_a_fault_that_names_both() -> None:
    class Sold(Event, context="sales"):
        pass

    context = BoundedContext("other")
    context.register(Sold)
    context.scan("tests.app.packages.sales")
    app = App("shop")
    app.include(sales, context)

    with pytest.raises(WiringError, match=r"'sales\.sold' is claimed by .*locals.*events\.Sold"):
        app.check()


PROGRAM = """
import asyncio

from headwater import App, BoundedContext, Event, EventStore, ExpectedVersion

desk = BoundedContext("desk")

class Opened(Event):
    pass

desk.register(Opened)

async def main():
    app = App("shop")
    app.include(desk)
    async with app:
        store = await app.get(EventStore)
        await store.append("x-1", [Opened()], expected=ExpectedVersion.any())
        print([event.type async for event in store.read_stream("x-1")])

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("command", [["-m", "shop.program"], ["-m", "shop"], ["alone.py"]])
def test_a_program_that_is_run_belongs_as_when_it_is_imported(
    command: list[str], tmp_path: Path
) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    for path in (package / "program.py", package / "__main__.py", tmp_path / "alone.py"):
        path.write_text(PROGRAM)

    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert run.stderr == ""
    assert run.stdout.strip() == "['desk.opened']"
