"""What is wrong with an aggregate or decider is said when it is made, with its place."""

import types
from collections.abc import Callable
from typing import Any

import pytest

from headwater.domain import Aggregate, Decider, applies, applies_methods
from headwater.errors import ConfigurationError, InvalidNameError, WiringError
from headwater.messages import Event
from tests.domain.shop import Account, Deposited


class Happened(Event):
    pass


def define(_name: str = "Order", /, *functions: Callable[..., Any], **header: Any) -> type:
    """Make an aggregate class as a class statement does, without what type checkers refuse."""
    body = {function.__name__: applies(function) for function in functions}
    return types.new_class(_name, (Aggregate,), header, lambda namespace: namespace.update(body))


def happened(*, annotation: object) -> Callable[..., Any]:
    def _happened(self: object, event: Happened) -> None: ...

    _happened.__annotations__["event"] = annotation
    _happened.__qualname__ = "Order._happened"
    return _happened


def unannotated() -> type:
    function = happened(annotation=Happened)
    del function.__annotations__["event"]
    return define("Order", function)


def no_event() -> type:
    def _happened(self: object) -> None: ...

    return define("Order", _happened)


def no_class() -> type:
    return define("Order", happened(annotation=Happened | None))


def anything() -> type:
    return define("Order", happened(annotation=Any))


def asynchronous() -> type:
    async def _happened(self: object, event: Happened) -> None: ...

    return define("Order", _happened)


def static() -> type:
    class Order(Aggregate[str]):
        @applies
        @staticmethod
        def _happened(event: Happened) -> None: ...

    return Order


def claimed_twice() -> type:
    class Order(Aggregate[str]):
        @applies
        def _one(self, event: Happened) -> None: ...
        @applies
        def _two(self, event: Happened) -> None: ...

    return Order


def other_init() -> type:
    class Order(Aggregate[str]):
        def __init__(self, id: str, total: int) -> None:
            super().__init__(id)

    return Order


def hides() -> type:
    def record(self: object, event: Happened) -> None: ...
    def version(self: object, event: object) -> None: ...

    return define("Order", record, version)


def slots() -> type:
    class Order(Aggregate[str]):
        __slots__ = ("lines",)

    return Order


def unique_of_events() -> type:
    class Order(Aggregate[str], unique=("email",)):
        email: str

    return Order


def unique_without_attribute() -> type:
    class Order(Aggregate[str], stored="state", unique=("mail",)):
        email: str

    return Order


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (unannotated, r"test_wiring\.py:\d+: .*Order\._happened does not say which event 'event'"),
        (no_event, r"test_wiring\.py:\d+: .*Order\._happened takes no event\..*Annotate it"),
        (no_class, r"test_wiring\.py:\d+: .*is annotated with .*which is no class or union"),
        (anything, r"test_wiring\.py:\d+: .*is annotated with typing\.Any, which is no class"),
        (asynchronous, r"test_wiring\.py:\d+: .*Order\._happened is async"),
        (static, r"Order\._happened is no plain method"),
        (
            claimed_twice,
            r"test_wiring\.py:\d+: .*_two applies Happened, and so does _one \(.*:\d+\)",
        ),
        (other_init, r"test_wiring\.py:\d+: .*Order\.__init__ must be callable with the id alone"),
        (hides, r"(?s)2 fault\(s\).*Order\.record hides what.*Order\.version hides what"),
        (slots, r"Order has __slots__"),
        (
            unique_of_events,
            r"Order names unique attributes but is stored as events.*stored='state'",
        ),
        (unique_without_attribute, r"Order names 'mail' as unique.*Annotated are: email"),
    ],
)
def test_a_fault_in_an_aggregate_is_told_when_the_class_is_made(
    make: Callable[[], type], said: str
) -> None:
    with pytest.raises(WiringError, match=said):
        make()


def test_all_faults_of_a_class_are_told_at_once() -> None:
    def _one(self: object) -> None: ...
    async def _two(self: object, event: Happened) -> None: ...

    with pytest.raises(WiringError) as caught:
        define("Order", _one, _two)

    assert len(caught.value.faults) == 2


def test_an_annotation_that_names_nothing_is_told_at_first_use() -> None:
    lost: Any = define("Lost", happened(annotation="Nowhere"))

    with pytest.raises(WiringError, match=r"test_wiring\.py:\d+: .*_happened: .*'Nowhere'"):
        lost("l").record(Happened())
    with pytest.raises(WiringError, match=r"test_wiring\.py:\d+: .*_happened: .*'Nowhere'"):
        lost("l").replay([Happened()])
    with pytest.raises(WiringError, match="'Nowhere'"):
        lost.event_types()


def test_a_header_option_that_does_not_exist_is_told() -> None:
    with pytest.raises(ConfigurationError, match="stored='rows' is neither"):
        define("Order", stored="rows")
    with pytest.raises(TypeError, match="keyword"):
        define("Order", storde="state")
    with pytest.raises(InvalidNameError, match="context name"):
        define("Order", context="No Context")


def test_an_attribute_must_not_hide_what_aggregates_have() -> None:
    with pytest.raises(WiringError, match=r"Order\.pending hides what Aggregate has"):

        class Order(Aggregate[str]):  # pyright: ignore[reportUnusedClass] # is never made
            pending: int  # type: ignore[assignment] # is the fault


def test_applies_can_carry_a_key_for_projections() -> None:
    class Rows:
        @applies(key=lambda event: event.cents)
        def deposited(self, event: Deposited, row: int | None) -> int:
            return (row or 0) + event.cents

        @applies
        def happened(self, event: Happened, row: int) -> int:
            return row

    deposited, happened = applies_methods(Rows)

    assert deposited.event_types() == (Deposited,)
    assert deposited.mark.key is not None
    assert deposited.mark.key(Deposited(5)) == 5
    assert (happened.name, happened.parameter, happened.mark.key) == ("happened", "event", None)
    assert "test_wiring.py:" in happened.where


def test_a_decider_must_say_which_events_it_takes() -> None:
    def evolve(state: Account, event: Deposited) -> Account:
        return state

    del evolve.__annotations__["event"]

    with pytest.raises(WiringError, match=r"test_wiring\.py:\d+: Decider 'account'.*events="):
        Decider[int, Account, Deposited](
            name="account", initial=Account(), decide=lambda command, state: [], evolve=evolve
        )


def test_a_decider_has_a_safe_name_and_context() -> None:
    def evolve(state: int, event: Deposited) -> int:
        return state

    with pytest.raises(InvalidNameError, match="'My account' can't be a name"):
        Decider(name="My account", initial=0, decide=lambda c, s: [], evolve=evolve)
    with pytest.raises(InvalidNameError, match="context name"):
        Decider(name="a", initial=0, decide=lambda c, s: [], evolve=evolve, context="No")
