"""Aggregate classes: instances, ids, the events they apply, and names."""

import copy
import types
from typing import Any, ClassVar
from uuid import UUID

import pytest

from headwater.domain import Aggregate, applies
from headwater.errors import InvalidNameError
from headwater.messages import Event, options_of
from tests.domain.orders import CD, ID, Happened, HappenedAgain
from tests.domain.shop import (
    LineAdded,
    Order,
    OrderPlaced,
    OrderShipped,
)


def test_instances_do_not_share_their_defaults() -> None:
    first, second = Order(ID), Order(ID)

    first.record(LineAdded(CD))

    assert second.lines == Order(ID).lines == []


@pytest.mark.parametrize("id", [ID, "a-1", 7])
def test_an_id_is_a_uuid_a_text_or_an_integer(id: Any) -> None:
    assert Order(id).id == id


@pytest.mark.parametrize("id", [None, True, 1.5, b"x"])
def test_other_ids_are_refused(id: Any) -> None:
    with pytest.raises(TypeError, match="The id of Order is UUID, str or int, not"):
        Order(id)


def test_the_id_can_not_be_changed(order: Order) -> None:
    with pytest.raises(AttributeError):
        order.id = UUID(int=8)  # type: ignore[misc] # is the fault


def test_an_aggregate_shows_class_id_and_version(order: Order) -> None:
    assert repr(order) == f"<Order {ID} version 1>"


def test_copies_are_independent(order: Order) -> None:
    twin = copy.deepcopy(order)

    twin.add(CD)

    assert (order.version, twin.version) == (1, 2)
    assert order.lines == [CD]


def test_the_event_types_are_those_that_annotations_name() -> None:
    assert Order.event_types() == (OrderPlaced, LineAdded, OrderShipped)


def test_the_most_specific_method_applies_an_event() -> None:
    class Both(Aggregate[str]):
        said: str = ""

        @applies
        def _any(self, event: Event) -> None:
            self.said += "any "

        @applies
        def _again(self, event: HappenedAgain) -> None:
            self.said += "again "

    both = Both("b")

    for event in (Happened(), HappenedAgain(), OrderShipped(ID, "X1")):
        both.record(event)

    assert both.said == "any again any "


def test_a_subclass_inherits_and_overrides_by_name() -> None:
    class Base(Aggregate[str], stored="state", context="sales"):
        said: list[str] = []  # noqa: RUF012 - each instance gets a copy

        @applies
        def _happened(self, event: Happened) -> None:
            self.said.append("base")

        @applies
        def _shipped(self, event: OrderShipped) -> None:
            self.said.append("shipped")

    class Derived(Base, name="other"):
        def _happened(self, event: Happened) -> None:
            super()._happened(event)
            self.said.append("derived")

    derived, base = Derived("d"), Base("b")
    derived.replay([Happened(), OrderShipped(ID, "X1")])
    base.replay([Happened()])

    assert (derived.said, base.said) == (["base", "derived", "shipped"], ["base"])
    assert Derived.stored_as_state
    assert (options_of(Base).context, options_of(Derived).context) == ("sales", None)
    assert (Base.aggregate_name(), Derived.aggregate_name()) == ("base", "other")


class Later(Aggregate[str]):
    """Its annotations name classes that stand further down in this module."""

    said: str = ""
    KINDS: ClassVar[tuple[str, ...]] = ("a",)

    @applies
    def _first(self, event: "LaterEvent | Happened") -> "None":
        self.said = type(event).__name__


class LaterEvent(Event):
    pass


def test_annotations_may_name_classes_that_are_defined_later() -> None:
    later = Later("l")

    later.record(LaterEvent())

    assert later.said == "LaterEvent"
    assert Later.event_types() == (LaterEvent, Happened)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("CustomerAccount", "customer_account"), ("HTTPSession", "http_session"), ("Order", "order")],
)
def test_the_name_is_the_class_name_in_words(class_name: str, name: str) -> None:
    assert types.new_class(class_name, (Order,)).aggregate_name() == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["Order", "my-order", "1st", "o" * 64, "bestellung_ä"])
def test_a_name_must_be_safe_in_streams_and_tables(name: str) -> None:
    with pytest.raises(InvalidNameError, match="name of an aggregate"):
        types.new_class("Order", (Aggregate,), {"name": name})
