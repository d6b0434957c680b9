"""Stored type names come from class names, headers and contexts."""

import pytest

from headwater.errors import InvalidNameError
from headwater.messages import Event
from headwater.serialization.names import check_type_name, kebab_case, type_name


class OrderPlaced(Event):
    order_id: str


class OrderClosed(Event, name="order-finished"):
    order_id: str


class OrderMoved(Event, context="shipping"):
    order_id: str


class OrderImported(Event, name="com.acme.Order_Imported", context="shipping"):
    order_id: str


@pytest.mark.parametrize(
    ("class_name", "stored"),
    [
        ("OrderPlaced", "order-placed"),
        ("HTTPRequestSent", "http-request-sent"),
        ("SentHTTP", "sent-http"),
        ("OrderV2Placed", "order-v2-placed"),
        ("Sha256Computed", "sha256-computed"),
        ("S3Uploaded", "s3-uploaded"),
        ("order_placed", "order-placed"),
        ("_Order__Placed_", "order-placed"),
        ("A", "a"),
        ("ABTest", "ab-test"),
        ("ÜberweisungAusgeführt", "überweisung-ausgeführt"),
        ("U\u0308berweisung", "überweisung"),
        ("注文済み", "注文済み"),
    ],
)
def test_words_of_a_class_name_are_joined_by_hyphens(class_name: str, stored: str) -> None:
    assert kebab_case(class_name) == stored


def test_a_type_is_stored_under_its_context_and_class_name() -> None:
    assert type_name(OrderPlaced, "sales") == "sales.order-placed"


def test_a_name_in_the_header_replaces_the_class_name() -> None:
    assert type_name(OrderClosed, "sales") == "sales.order-finished"


def test_a_context_in_the_header_wins() -> None:
    assert type_name(OrderMoved, "sales") == "shipping.order-moved"


def test_a_name_with_a_dot_is_the_whole_name() -> None:
    assert type_name(OrderImported, "sales") == "com.acme.Order_Imported"


@pytest.mark.parametrize(
    "name", ["", "order", ".order", "sales.", "sales..x", "sales.a b", "1.a", "sales.x\n", "$x.y"]
)
def test_names_that_do_not_match_the_pattern_are_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match=r"can't be a type name"):
        check_type_name(name)


def test_a_name_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="203 characters are too many"):
        check_type_name("sales." + "x" * 197)


def test_a_context_that_is_no_context_name_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="context name"):
        type_name(OrderPlaced, "Sales")
