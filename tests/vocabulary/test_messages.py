"""Messages are frozen records; foreign classes are messages of equal rights."""

import copy
import dataclasses
import pickle
from decimal import Decimal
from typing import Any, Generic, TypeVar
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
    MessageOptions,
    Notification,
    Query,
    RecordMeta,
    Request,
    Value,
    message,
    options_of,
)


class OrderLine(Value):
    article: str
    quantity: int = 1


class OrderPlaced(Event):
    order_id: UUID
    lines: tuple[OrderLine, ...]
    total: Decimal = Decimal(0)


class PlaceOrder(Command[UUID]):
    customer_id: str
    lines: tuple[OrderLine, ...] = ()


class FindOrder(Query[OrderPlaced | None]):
    order_id: UUID


class OrderDelayed(Notification):
    order_id: UUID


class OrderAccepted(IntegrationEvent):
    order_id: UUID


@dataclasses.dataclass(frozen=True, slots=True)
class ShipOrder(Request[None]):
    order_id: UUID


@attrs.frozen
class CancelOrder(Request[bool]):
    order_id: UUID


class RegisterCustomer(BaseModel, Request[UUID]):
    email: str


def placed() -> OrderPlaced:
    return OrderPlaced(UUID(int=1), (OrderLine("Kind of Blue", 2),), Decimal("23.54"))


RECORDS: list[Any] = [
    OrderLine("Kind of Blue"),
    placed(),
    PlaceOrder("ada"),
    FindOrder(UUID(int=1)),
    OrderDelayed(UUID(int=1)),
    OrderAccepted(UUID(int=1)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_can_not_be_changed(record: Any) -> None:
    field = record.__struct_fields__[0]

    with pytest.raises(AttributeError, match="immutable"):
        setattr(record, field, None)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_compared_and_hashed_by_content(record: Any) -> None:
    other = copy.copy(record)

    assert other is not record
    assert other == record
    assert hash(other) == hash(record)
    assert {record: "found"}[other] == "found"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_pickling(record: Any) -> None:
    copied = pickle.loads(pickle.dumps(record))

    assert type(copied) is type(record)
    assert copied == record


def test_records_of_different_types_differ_though_their_content_is_equal() -> None:
    delayed: Any = OrderDelayed(UUID(int=1))

    assert delayed != OrderAccepted(UUID(int=1))


def test_a_record_takes_positional_and_keyword_arguments_and_has_defaults() -> None:
    line = OrderLine("Kind of Blue")

    assert OrderLine(article="Kind of Blue", quantity=1) == line
    assert PlaceOrder(customer_id="ada") == PlaceOrder("ada", ())


def test_a_record_can_be_replaced_with_other_values() -> None:
    changed = msgspec.structs.replace(placed(), total=Decimal(1))

    assert changed == OrderPlaced(placed().order_id, placed().lines, Decimal(1))


def test_a_record_has_no_room_for_what_it_does_not_declare() -> None:
    assert not hasattr(placed(), "__dict__")
    assert not hasattr(PlaceOrder("ada"), "__dict__")
    assert not hasattr(FindOrder(uuid4()), "__dict__")


def test_kinds_can_be_told_apart() -> None:
    assert issubclass(PlaceOrder, Message)
    assert issubclass(PlaceOrder, Request)
    assert issubclass(FindOrder, Request)
    assert not issubclass(OrderPlaced, Request)
    assert not issubclass(OrderLine, Message)
    assert not issubclass(OrderAccepted, Event)


# ---------------------------------------------------------------------------------- options


def test_a_record_takes_its_options_in_the_class_header() -> None:
    class OrderClosed(Event, name="order-done", context="sales", version=3):
        order_id: UUID

    assert options_of(OrderClosed) == MessageOptions("order-done", "sales", 3)
    assert OrderClosed(UUID(int=1)).order_id == UUID(int=1)


def test_options_that_are_not_given_have_defaults() -> None:
    assert options_of(OrderPlaced) == MessageOptions(name=None, context=None, version=1)
    assert options_of(ShipOrder) == MessageOptions()


def test_options_are_not_inherited() -> None:
    class Base(Event, name="base", context="sales", version=2):
        pass

    class Derived(Base):
        pass

    @message(name="foreign", version=2)
    class ForeignBase:
        pass

    class ForeignDerived(ForeignBase):
        pass

    assert options_of(Derived) == MessageOptions()
    assert options_of(ForeignDerived) == MessageOptions()


@pytest.mark.parametrize("version", [0, -1])
def test_a_schema_version_below_one_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match="schema version must be 1 or more"):
        RecordMeta("Old", (Event,), {}, version=version)
    with pytest.raises(ValueError, match="schema version must be 1 or more"):
        message(version=version)(type("Old", (), {}))


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="nmae"):
        RecordMeta("Misspelt", (Event,), {}, nmae="order-closed")


def test_a_class_header_takes_struct_options_too() -> None:
    class Move(Command[None], kw_only=True, rename="camel", version=2):
        first_place: str
        second_place: str = "home"

    move = Move(first_place="away")

    assert msgspec.json.encode(move) == b'{"firstPlace":"away","secondPlace":"home"}'
    assert options_of(Move).version == 2


def test_options_are_no_field() -> None:
    class OrderClosed(Event, name="order-done", version=3):
        order_id: int

    assert OrderClosed.__struct_fields__ == ("order_id",)
    assert msgspec.json.encode(OrderClosed(7)) == b'{"order_id":7}'


# -------------------------------------------------------------------------- foreign classes


def test_a_dataclass_can_be_a_request_and_keep_its_slots() -> None:
    request = ShipOrder(UUID(int=1))

    assert isinstance(request, Request)
    assert not hasattr(request, "__dict__")


def test_an_attrs_class_can_be_a_request_and_keep_its_slots() -> None:
    request = CancelOrder(UUID(int=1))

    assert isinstance(request, Request)
    assert not hasattr(request, "__dict__")


def test_a_pydantic_model_can_be_a_request_and_validates_itself() -> None:
    request = RegisterCustomer(email="ada@example.org")

    assert isinstance(request, Request)
    assert RegisterCustomer.model_validate_json('{"email": "ada@example.org"}') == request
    with pytest.raises(ValueError, match="email"):
        RegisterCustomer.model_validate({"email": 7})


def test_foreign_classes_take_options_with_a_decorator() -> None:
    @message(name="ship", context="sales", version=2)
    @dataclasses.dataclass(frozen=True, slots=True)
    class Ship(Request[None]):
        order_id: int

    # Below a decorator that makes a new class of the one it is given.
    @attrs.frozen
    @message(name="cancel")
    class Cancel(Request[bool]):
        order_id: int

    @message(name="register", version=4)
    class Register(BaseModel, Request[UUID]):
        email: str

    assert options_of(Ship) == MessageOptions("ship", "sales", 2)
    assert options_of(Cancel) == MessageOptions("cancel")
    assert options_of(Register) == MessageOptions("register", version=4)
    assert Register(email="a").model_dump() == {"email": "a"}


# ------------------------------------------------------------- generic records, tagged unions


T = TypeVar("T")


class Page(Value, Generic[T]):
    items: tuple[T, ...]
    next_page: int | None = None


def test_a_record_can_be_generic() -> None:
    page = Page((OrderLine("Kind of Blue"),))

    decoded = msgspec.json.decode(msgspec.json.encode(page), type=Page[OrderLine])

    assert decoded == page
    assert isinstance(decoded.items[0], OrderLine)


class ByCard(Value, tag=True):
    last_digits: str


class ByInvoice(Value, tag="invoice"):
    days: int


class OrderPaid(Event):
    order_id: int
    by: ByCard | ByInvoice


@pytest.mark.parametrize(
    ("by", "encoded"),
    [
        (ByCard("4242"), b'{"order_id":1,"by":{"type":"ByCard","last_digits":"4242"}}'),
        (ByInvoice(30), b'{"order_id":1,"by":{"type":"invoice","days":30}}'),
    ],
)
def test_a_union_of_tagged_values_comes_back_as_what_it_was(
    by: ByCard | ByInvoice, encoded: bytes
) -> None:
    paid = OrderPaid(1, by)

    assert msgspec.json.encode(paid) == encoded
    assert msgspec.json.decode(encoded, type=OrderPaid) == paid
