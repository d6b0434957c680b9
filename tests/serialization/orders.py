"""An event with all that the codec has to carry."""

from decimal import Decimal
from uuid import UUID

from headwater.messages import Event
from tests.serialization.examples import (
    CustomerId,
    Line,
    OrderPlaced,
)

LINE = Line("cd", 2, Decimal("9.90"))

ORDER = OrderPlaced(UUID(int=7), CustomerId("c-1"), (LINE, LINE), Decimal("19.80"))


class Chain(Event):
    next: "Chain | None" = None
