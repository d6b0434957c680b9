"""Wiring faults: all of them at once, at the start, each with its place and what to do."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.adapters.container.instances import Instances
from headwater.errors import WiringError
from headwater.mediator import Handlers, Mediator, Next, Stage
from headwater.messages import Command, Event
from headwater.metadata import Recorded
from tests.mediator.shop import CancelOrder, GetPrice, ListArticles, OrderPlaced, PlaceOrder

if TYPE_CHECKING:
    from fractions import Fraction


class Clock:
    """Nobody provides it."""


class NotAtRuntime(Protocol):
    article: str


class Unrelated(Command[None]):
    """Nobody handles it."""


def faults_of(table: Handlers, **options: Any) -> list[str]:
    with pytest.raises(WiringError) as caught:
        Mediator(table, **options)
    return [f"{fault.problem} {fault.advice}" for fault in caught.value.faults]


Register = Callable[[Handlers], Any]
FAULTY: dict[str, Register] = {}


def faulty(problem: str) -> Callable[[Register], Register]:
    def note(register: Register) -> Register:
        FAULTY[problem] = register
        return register

    return note


@faulty("PlaceOrder has a second handler")
def _(table: Handlers) -> None:
    async def first(command: PlaceOrder) -> str:
        return ""

    async def second(command: PlaceOrder) -> str:
        return ""

    table.handler(first)
    table.handler(second)


@faulty(
    "nobody provides Clock, which _.handler needs as 'clock'. "
    "Provide it (App: provide= or providers=, Mediator: container=)"
)
def _(table: Handlers) -> None:
    @table.handler
    async def handler(command: PlaceOrder, clock: Clock) -> str:
        return ""


@faulty("nobody provides Clock, which _.Handler needs as 'clock'")
def _(table: Handlers) -> None:
    @table.handler
    class Handler:
        def __init__(self, clock: Clock) -> None: ...

        async def handle(self, command: PlaceOrder) -> str:
            return ""


@faulty("parameter 'clock' of _.handler is not annotated. Annotate it with the type")
def _(table: Handlers) -> None:
    @table.handler  # pyright: ignore[reportUnknownArgumentType]
    async def handler(command: PlaceOrder, clock) -> str:  # type: ignore[no-untyped-def]
        return ""


@faulty("the message parameter 'command' of _.handler is not annotated")
def _(table: Handlers) -> None:
    @table.handler  # pyright: ignore[reportUnknownArgumentType]
    async def handler(command) -> str:  # type: ignore[no-untyped-def]
        return ""


@faulty("the message parameter 'number' of _.handler is annotated as int, which is no message")
def _(table: Handlers) -> None:
    @table.handler
    async def handler(number: int) -> str:
        return ""


@faulty("_.handler takes too few positional parameters. Its first parameter is the message")
def _(table: Handlers) -> None:
    @table.handler
    async def handler() -> str:
        return ""


@faulty("_.handler handles OrderPlaced, which is no request. Requests derive from Command[R]")
def _(table: Handlers) -> None:
    @table.handler
    async def handler(event: OrderPlaced) -> None: ...


@faulty("_.listener asks for Recorded[…], which only durable subscribers get")
def _(table: Handlers) -> None:
    @table.on
    async def listener(event: Recorded[OrderPlaced]) -> None: ...


@faulty("which mixes Recorded[…] with bare messages")
def _(table: Handlers) -> None:
    @table.on
    async def listener(event: Recorded[OrderPlaced] | PlaceOrder) -> None: ...


@faulty("_.listener is an async generator, and nobody reads it")
def _(table: Handlers) -> None:
    @table.on
    async def listener(event: OrderPlaced) -> AsyncIterator[None]:
        yield None


@faulty("_.listener is a plain generator. Make it an async generator")
def _(table: Handlers) -> None:
    @table.on
    def listener(event: OrderPlaced) -> Iterator[None]:
        yield None


@faulty("but NotAtRuntime is a Protocol without @runtime_checkable")
def _(table: Handlers) -> None:
    @table.on
    async def listener(event: NotAtRuntime) -> None: ...


@faulty("_.listener is registered twice, and would run twice")
def _(table: Handlers) -> None:
    async def listener(event: OrderPlaced) -> None: ...

    table.on(listener)
    table.on(order=3)(listener)


@faulty("class _.Nothing has no method whose name starts with 'handle'")
def _(table: Handlers) -> None:
    @table.on
    class Nothing:
        async def listen(self, event: OrderPlaced) -> None: ...


@faulty("no handler for Unrelated. Write one that takes it")
def _(table: Handlers) -> None:
    table.expects(Unrelated, Unrelated)


@faulty("behaviour _.around stands around Unrelated at stage REQUEST, and nothing handles that")
def _(table: Handlers) -> None:
    @table.behaviour
    async def around(message: Unrelated, next: Next[Unrelated, Any]) -> Any: ...


@faulty("behaviour _.around stands around Event at stage NOTIFICATION, and nothing handles that")
def _(table: Handlers) -> None:
    @table.behaviour(stage=Stage.NOTIFICATION)
    async def around(message: Event, next: Next[Event, Any]) -> Any: ...


@faulty("behaviour _.around is no 'async def'. Make it one")
def _(table: Handlers) -> None:
    @table.behaviour
    def around(message: object, next: Next[object, Any]) -> Any: ...


@faulty("behaviour _.around stands on int, which is no message class")
def _(table: Handlers) -> None:
    @table.behaviour(on=int)
    async def around(message: object, next: Next[object, Any]) -> Any: ...


@faulty("_.around takes too few positional parameters. Its first parameter is the message, its s")
def _(table: Handlers) -> None:
    @table.behaviour
    async def around(message: object) -> Any: ...


@faulty("the annotation 'Fraction' of parameter 'half' of _.handler can't be evaluated (name 'Fr")
def _(table: Handlers) -> None:
    @table.handler
    async def handler(command: PlaceOrder, half: "Fraction") -> str:
        return ""


@pytest.mark.parametrize("problem", FAULTY)
def test_each_fault_says_what_is_wrong_and_what_to_do(problem: str) -> None:
    table = Handlers()
    FAULTY[problem](table)

    (fault,) = [
        text for text in faults_of(table) if not text.startswith("behaviour _.around st")
    ] or (faults_of(table))

    assert problem in fault
    assert len(fault) > len(problem)


@given(st.lists(st.sampled_from(sorted(FAULTY)), min_size=1, unique=True))
def test_all_faults_are_reported_at_once_whatever_else_is_wrong(problems: list[str]) -> None:
    table = Handlers()
    for problem in problems:
        FAULTY[problem](table)

    found = "\n".join(faults_of(table))

    # Faults of one message may stand in for each other's; these two always show.
    for problem in problems:
        if "PlaceOrder" not in problem and "stands around" not in problem:
            assert problem in found


def test_each_fault_names_file_and_line() -> None:
    table = Handlers()

    async def handler(command: PlaceOrder, clock: Clock) -> str:
        return ""

    table.handler(handler)

    with pytest.raises(WiringError) as caught:
        Mediator(table)

    (fault,) = caught.value.faults
    assert fault.where == f"tests/mediator/test_wiring.py:{handler.__code__.co_firstlineno}"
    assert str(caught.value).startswith("1 fault(s) in the wiring:\n  - tests/mediator/test_wiring")


def test_what_was_not_written_in_python_is_found_where_it_was_registered() -> None:
    table = Handlers()
    table.handler(int)

    with pytest.raises(WiringError) as caught:
        Mediator(table)

    assert caught.value.faults[0].where.startswith("tests/mediator/test_wiring.py:")


def test_a_handler_with_a_fault_is_not_reported_as_missing_too() -> None:
    table = Handlers()
    table.expects(PlaceOrder)

    @table.handler
    async def handler(command: PlaceOrder, clock: Clock) -> str:
        return ""

    assert len(faults_of(table)) == 1


def test_a_container_that_lacks_a_type_is_told_so() -> None:
    table = Handlers()

    @table.handler
    async def handler(command: PlaceOrder, clock: Clock) -> str:
        return ""

    (fault,) = faults_of(table, container=Instances())

    assert "Provide it in the container (scope APP or REQUEST)" in fault


async def test_text_annotations_are_evaluated_where_they_were_written() -> None:
    table = Handlers()

    @table.handler
    async def handler(
        command: "PlaceOrder | CancelOrder", clock: "Clock | None" = None
    ) -> "str | None":
        return type(command).__name__

    assert await Mediator(table).send(PlaceOrder("tea")) == "PlaceOrder"


def test_what_is_expected_may_be_handled_by_a_base_classs_handler() -> None:
    class Special(GetPrice):
        pass

    table = Handlers()
    table.expects(Special)

    @table.handler
    async def handler(query: GetPrice | ListArticles) -> int | str:
        return 1

    Mediator(table)
