"""Scanning a package: imported whole, marks registered, requests expected."""

import pytest

from headwater.errors import ConfigurationError, WiringError
from headwater.mediator import Handlers, Mediator, Strategy, hears
from tests.mediator import scanned
from tests.mediator.scanned.deep import handlers
from tests.mediator.scanned.requests import Close, Count, Few, Open
from tests.mediator.shop import OrderPlaced


@pytest.fixture
def scanning() -> Handlers:  # a fixture, because a scan reads files and the loop must not
    table = Handlers()
    table.include(scanned.table)
    table.scan(scanned)

    @table.handler
    async def few(command: Few) -> None: ...

    return table


async def test_what_is_registered_and_what_is_marked_is_found_each_once(scanning: Handlers) -> None:
    mediator = Mediator(scanning)

    assert await mediator.send(Open()) == "registered"
    assert await mediator.send(Close()) == "marked"
    assert await mediator.send(Count()) == 42
    await mediator.publish(OrderPlaced())
    assert handlers.HEARD == ["heard"]


def test_a_marked_function_stays_directly_callable() -> None:
    assert handlers.marked(Close()) == "marked"


def test_requests_of_the_package_that_nobody_handles_are_a_fault() -> None:
    table = Handlers()
    table.scan("tests.mediator.scanned.requests")

    with pytest.raises(WiringError) as caught:
        Mediator(table)

    assert [fault.problem for fault in caught.value.faults] == [
        f"no handler for {name}." for name in ("Open", "Close", "Count", "Few")
    ]
    assert caught.value.faults[0].where == "tests.mediator.scanned.requests"


def test_a_package_that_cant_be_imported_says_so() -> None:
    with pytest.raises(ImportError):
        Handlers().scan("tests.mediator.no_such_package")


def test_a_mark_checks_its_strategy_at_once() -> None:
    with pytest.raises(ConfigurationError):
        hears(strategy=Strategy.PARALLEL)
