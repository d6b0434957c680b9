"""Aggregates stored as state: their attributes are the record that is kept."""

import dataclasses
from typing import Annotated, ClassVar

import msgspec
import pytest

from headwater.domain import Aggregate, applies, state_of
from headwater.errors import AggregateError, ConfigurationError
from headwater.messages import Event
from headwater.serialization import EventCodec, TypeRegistry
from tests.domain.shop import Customer, CustomerRegistered, EmailChanged


class Touched(Event):
    pass


class Wallet(Aggregate[int], stored="state"):
    KIND: ClassVar[str] = "wallet"
    owner: str = "nobody"
    _entries: list[int] = dataclasses.field(default_factory=list[int])
    __secret: int = 3
    limit: Annotated[int, msgspec.Meta(ge=0)] = 5
    unannotated = "no state"

    @applies
    def _touched(self, event: Touched) -> None:
        self._entries.append(1)


@pytest.fixture
def customer() -> Customer:
    customer = Customer("c-1")
    customer.replay([CustomerRegistered("a@b"), EmailChanged("c@d")])
    return customer


def test_the_state_is_a_record_of_the_annotated_attributes(customer: Customer) -> None:
    state = state_of(customer)

    assert type(state) is Customer.state_type()
    assert msgspec.to_builtins(state) == {"email": "c@d", "former": ("a@b",)}


def test_state_goes_through_the_codec_and_back(customer: Customer) -> None:
    codec = EventCodec(TypeRegistry())
    text = codec.encode_value(state_of(customer), Customer.state_type(), exact=True)

    again = Customer("c-1")
    again.restore(codec.decode_value(text, Customer.state_type()), version=2)

    assert (again.email, again.former) == ("c@d", ("a@b",))
    assert (again.version, again.committed_version, again.pending) == (2, 2, ())
    again.record(EmailChanged("e@f"))
    assert (again.version, again.former) == (3, ("a@b", "c@d"))


def test_class_variables_and_unannotated_names_are_no_state() -> None:
    assert Wallet.state_type().__struct_fields__ == (
        "owner",
        "_entries",
        "_Wallet__secret",
        "limit",
    )
    assert Wallet.state_type().__struct_encode_fields__ == (
        "owner",
        "entries",
        "secret",
        "limit",
    )


def test_state_stored_before_an_attribute_was_added_gets_its_default() -> None:
    codec = EventCodec(TypeRegistry())

    first, second = (codec.decode_value('{"owner":"me"}', Wallet.state_type()) for _ in range(2))
    wallet, other = Wallet(1), Wallet(2)
    wallet.restore(first, version=1)
    other.restore(second, version=1)
    wallet.record(Touched())

    assert wallet.owner == "me"
    assert msgspec.to_builtins(state_of(wallet))["entries"] == [1]
    assert msgspec.to_builtins(state_of(other))["entries"] == []


def test_a_state_without_a_value_for_an_attribute_is_refused() -> None:
    with pytest.raises(AggregateError, match="Customer c-1 has no 'email' yet"):
        state_of(Customer("c-1"))


def test_a_subclass_adds_to_the_state() -> None:
    class GoldCustomer(Customer, unique=("card",)):
        card: str = ""

    assert GoldCustomer.state_type().__struct_fields__ == ("email", "_former", "card")
    assert GoldCustomer.unique_fields() == ("email", "card")
    assert Customer.unique_fields() == ("email",)


def test_two_attributes_with_one_stored_name_are_refused() -> None:
    class Twice(Aggregate[str], stored="state"):
        lines: int = 0
        _lines: int = 0

    with pytest.raises(ConfigurationError, match="two attributes would be stored as 'lines'"):
        Twice.state_type()


def test_an_annotation_that_names_nothing_is_refused() -> None:
    class Lost(Aggregate[str], stored="state"):
        what: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - is the fault

    with pytest.raises(ConfigurationError, match="Lost: name 'Nowhere' is not defined"):
        Lost.state_type()
