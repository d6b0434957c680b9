"""The registry: one class, one name, one context."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs
import pydantic
import pytest

from headwater.errors import DuplicateTypeNameError, MessageTypeError
from headwater.messages import Event, Value, message
from headwater.serialization.registry import TypeRegistry

T = TypeVar("T")


class OrderEvent(Event):
    order_id: str


class OrderPlaced(OrderEvent):
    total: int


class OrderShipped(OrderEvent, version=3):
    pass


class Unrelated(Event):
    reason: str


@dataclasses.dataclass(frozen=True)
class Paid:
    order_id: str


@message(name="refunded", context="billing", version=2)
@attrs.frozen
class PaidBack:
    order_id: str


class Signup(pydantic.BaseModel):
    email: str


@runtime_checkable
class HasOrder(Protocol):
    order_id: str


class Describes(Protocol):
    def describe(self) -> str: ...


class Card(Value):
    number: str


class Transfer(Value):
    iban: str


class PaymentTaken(Event):
    amount: int
    method: Card | Transfer


class Opaque:
    pass


class Carries(Event):
    what: Opaque


class CarriesModel(Event):
    signup: Signup


class Refers(Event):
    to: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - is the fault


class Box(Event, Generic[T]):
    content: T


def other_order_placed() -> type:
    class OrderPlaced(Event):
        order_id: str

    return OrderPlaced


def test_registering_returns_the_stored_name_and_can_be_repeated() -> None:
    registry = TypeRegistry()

    names = [registry.register(OrderPlaced, context="sales") for _ in range(2)]

    assert names == ["sales.order-placed"] * 2
    assert registry.class_of("sales.order-placed") is OrderPlaced
    assert registry.types() == (OrderPlaced,)


def test_a_class_nobody_registered_is_registered_when_it_is_asked_for() -> None:
    registry = TypeRegistry(default_context="shop")

    assert registry.name_of(OrderShipped) == "shop.order-shipped"
    assert registry.version_of(OrderShipped) == 3
    assert registry.class_of("shop.order-shipped") is OrderShipped


def test_context_of_decides_where_a_class_belongs() -> None:
    registry = TypeRegistry(context_of=lambda cls: "sales" if cls is OrderPlaced else "other")

    assert registry.name_of(OrderPlaced) == "sales.order-placed"
    assert registry.name_of(Unrelated) == "other.unrelated"


def test_two_classes_with_one_name_are_refused() -> None:
    registry = TypeRegistry()
    registry.register(OrderPlaced)

    with pytest.raises(DuplicateTypeNameError, match=r"'app\.order-placed' is claimed by"):
        registry.register(other_order_placed())

    assert registry.class_of("app.order-placed") is OrderPlaced


def test_a_class_can_not_move_to_another_context() -> None:
    registry = TypeRegistry()
    registry.register(OrderPlaced, context="sales")

    with pytest.raises(MessageTypeError, match=r"registered as 'sales\.order-placed'"):
        registry.register(OrderPlaced, context="shipping")

    assert registry.register(OrderPlaced) == "sales.order-placed"


def test_a_context_in_the_header_wins_over_the_one_given() -> None:
    registry = TypeRegistry()

    assert registry.register(PaidBack, context="sales") == "billing.refunded"
    assert registry.register(PaidBack, context="other") == "billing.refunded"
    assert registry.version_of(PaidBack) == 2


@pytest.mark.parametrize("cls", [Paid, PaidBack, Signup])
def test_foreign_classes_are_of_equal_rights(cls: type) -> None:
    registry = TypeRegistry()

    assert registry.class_of(registry.name_of(cls)) is cls


@pytest.mark.parametrize("cls", [int, dict, Opaque, "text"])
def test_what_is_no_record_is_refused(cls: Any) -> None:
    with pytest.raises(MessageTypeError, match="can't be a message"):
        TypeRegistry().register(cls)


def test_names_of_a_base_class_are_those_of_all_derived_classes() -> None:
    registry = TypeRegistry()
    for cls in (OrderPlaced, OrderShipped, Unrelated):
        registry.register(cls)

    assert registry.names_of(OrderEvent) == {"app.order-placed", "app.order-shipped"}
    assert registry.names_of(OrderPlaced) == {"app.order-placed"}
    assert len(registry.names_of(Event)) == 3
    assert registry.names_of(Paid) == frozenset()


def test_names_of_a_protocol_are_those_of_classes_with_its_members() -> None:
    registry = TypeRegistry()
    for cls in (OrderPlaced, Unrelated, Paid, PaidBack, Signup):
        registry.register(cls)

    assert registry.names_of(HasOrder) == {"app.order-placed", "app.paid", "billing.refunded"}
    assert registry.names_of(Describes) == frozenset()


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (PaymentTaken, r"PaymentTaken\.method: .*must be tagged.*tag=True"),
        (Carries, r"Carries\.what: .*Opaque has no JSON form"),
        (CarriesModel, r"CarriesModel\.signup: .*Signup has no JSON form"),
        (Refers, r"Refers: .*'Nowhere' is not defined"),
    ],
)
def test_a_type_that_can_not_be_read_back_is_refused_with_field_and_advice(
    cls: type, said: str
) -> None:
    registry = TypeRegistry()

    with pytest.raises(MessageTypeError, match=f"(?s){said}"):
        registry.register(cls)

    assert registry.types() == ()


def test_a_generic_record_is_registered_once() -> None:
    registry = TypeRegistry()

    assert registry.name_of(type(Box[int](1))) == "app.box"
    assert registry.name_of(type(Box[str]("a"))) == "app.box"


def test_threads_that_register_one_class_agree() -> None:
    registry = TypeRegistry()
    start = threading.Barrier(8)
    names: list[str] = []

    def register() -> None:
        start.wait()
        names.append(registry.name_of(OrderPlaced))

    run_in_threads(register, 8)

    assert names == ["app.order-placed"] * 8


def run_in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
