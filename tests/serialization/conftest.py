"""What the tests of this folder share."""

from collections.abc import Iterator
from typing import Any

import pytest

from headwater.serialization import EventCodec, TypeRegistry, Upcasters


@pytest.fixture
def codec() -> EventCodec:
    return EventCodec(TypeRegistry("sales"))


@pytest.fixture
def upcasters() -> Upcasters:
    return Upcasters()


@pytest.fixture
def split(upcasters: Upcasters) -> Upcasters:
    @upcasters.upcaster(
        "sales.registered", version=1, to=["sales.customer-created", ("sales.customer-moved", 1)]
    )
    def registered(data: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
        yield "sales.customer-created", 1, {"name": data["name"]}
        yield "sales.customer-moved", 1, {"city": data["city"]}

    return upcasters
