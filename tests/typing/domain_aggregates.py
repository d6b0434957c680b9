"""What mypy and pyright must infer of aggregates and deciders; they read it, pytest does not."""

from typing import Any, assert_type
from uuid import UUID

from headwater.domain import Aggregate, Decider, applies, stream_id
from headwater.messages import Event
from headwater.testing.scenarios import given, given_nothing
from tests.domain.shop import (
    Account,
    AlreadyShippedError,
    Customer,
    Deposit,
    Deposited,
    Order,
    OrderPlaced,
    Withdraw,
    Withdrawn,
    account,
)


class Renamed(Event):
    name: str


class Product(Aggregate, context="shop", name="article"):
    name: str = ""

    @applies
    def _renamed(self, event: Renamed) -> None:
        self.name = event.name

    @applies(key=lambda event: event)
    def _with_key(self, event: OrderPlaced) -> None: ...


def ids_have_the_type_in_brackets(order: Order, customer: Customer, product: Product) -> None:
    assert_type(order.id, UUID)
    assert_type(customer.id, str)
    assert_type(product.id, Any)
    OrderPlaced(order.id, ())
    Order("no uuid")  # type: ignore[arg-type]
    Product("any id")
    assert_type(stream_id("shop", Product.aggregate_name(), 7), str)


def bare_aggregate_is_the_base_of_all() -> None:
    kinds: list[type[Aggregate]] = [Order, Customer, Product]
    some: Aggregate = Customer("c-1")
    assert_type([kind.aggregate_name() for kind in kinds], list[str])
    assert_type(some.version, int)


def marked_methods_keep_their_types(product: Product) -> None:
    assert_type(product._renamed(Renamed("x")), None)  # pyright: ignore[reportPrivateUsage]
    product._renamed(3)  # type: ignore[arg-type]


def header_options_are_checked() -> None:
    class Typo(Aggregate[str], storde="state"):  # type: ignore[call-arg]
        pass

    class Other(Aggregate[str], stored="rows"):  # type: ignore[arg-type]
        pass

    class NoId(Aggregate[float]):  # type: ignore[type-var]
        pass


def deciders_are_generic_in_command_state_and_event() -> None:
    assert_type(account, Decider[Deposit | Withdraw, Account, Deposited | Withdrawn])
    assert_type(account.fold([Deposited(1)]), Account)
    account.fold([Renamed("x")])  # type: ignore[list-item]


def scenarios_are_typed(id: UUID) -> None:
    order = given(Order, id).when(lambda order: order.ship("X1")).then().aggregate
    assert_type(order, Order)
    refusal = given(Order, id).when(lambda order: None).then_raises(AlreadyShippedError)
    assert_type(refusal, AlreadyShippedError)
    given(account, Deposited(1)).when(Withdraw(1)).then(Withdrawn(1)).then_state(Account(0))
    given(account).when("deposit")  # type: ignore[arg-type]
    given_nothing(Order).when(lambda: 3)  # type: ignore[arg-type, return-value]
