"""What the tests of this folder share."""

import pytest

from tests.domain.orders import CD, ID
from tests.domain.shop import (
    Order,
)


@pytest.fixture
def order() -> Order:
    return Order.place(ID, CD)
