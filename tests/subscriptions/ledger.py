"""Events and a read model to subscribe with."""

from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.messages import Event
from headwater.metadata import Recorded
from headwater.projections.projection import Projection


class Booked(Event):
    account: str
    cents: int


class Closed(Event):
    account: str


class Exploded(Event):
    account: str


class Balance(ReadModel, key="account", indexed=("cents",)):
    account: str
    cents: int
    bookings: int = 0
    last: int = 0


class Balances(Projection[Balance]):
    @applies
    def booked(self, event: Recorded[Booked], row: Balance | None) -> Balance:
        before = row or Balance(event.payload.account, 0)
        cents = before.cents + event.payload.cents
        return Balance(before.account, cents, before.bookings + 1, event.position)

    @applies
    def closed(self, event: Closed, row: Balance) -> None:
        return None

    @applies
    def exploded(self, event: Exploded, row: Balance) -> Balance:
        raise RuntimeError(f"boom at {row.cents}")
