"""Stream ids of aggregates and deciders: ``<context>.<name>-<id>``."""

from typing import Any
from uuid import UUID

import pytest

from headwater.domain import stream_id
from headwater.errors import InvalidNameError
from headwater.streams import category_of


@pytest.mark.parametrize(
    ("context", "name", "id", "expected"),
    [
        ("sales", "order", 7, "sales.order-7"),
        ("sales", "order", UUID(int=7), f"sales.order-{UUID(int=7)}"),
        ("sales", "customer_account", "a-1", "sales.customer_account-a-1"),
        ("our-sales", "order", "x", "our_sales.order-x"),
    ],
)
def test_a_stream_is_named_for_context_owner_and_id(
    context: str, name: str, id: UUID | str | int, expected: str
) -> None:
    assert stream_id(context, name, id) == expected
    assert category_of(expected) == f"{context}.{name}".replace("-", "_")


@pytest.mark.parametrize("id", ["", "a\nb", "\ud800", "x" * 600])
def test_an_id_that_can_not_be_in_a_stream_id_is_refused(id: Any) -> None:
    with pytest.raises(InvalidNameError):
        stream_id("sales", "order", id)
