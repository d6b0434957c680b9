"""What the benchmarks of the event store append and load."""

from pathlib import Path
from uuid import UUID

import msgspec

from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.messages import Event
from headwater.streams import ExpectedVersion

LOADED = 1_000
NEW = ExpectedVersion.no_stream()


class OrderOpened(Event):
    customer: str


class LineAdded(Event):
    sku: str
    quantity: int
    price: str
    currency: str
    note: str


class LineRemoved(Event):
    sku: str
    quantity: int


class Order(Aggregate[UUID]):
    customer: str = ""
    total: int = 0

    @applies
    def _opened(self, event: OrderOpened) -> None:
        self.customer = event.customer

    @applies
    def _added(self, event: LineAdded) -> None:
        self.total += event.quantity

    @applies
    def _removed(self, event: LineRemoved) -> None:
        self.total -= event.quantity


TYPES = (OrderOpened, LineAdded, LineRemoved)
LINE = LineAdded(sku="SKU-000042", quantity=3, price="19.99", currency="EUR", note="x" * 44)
DATA = msgspec.json.encode(LINE).decode()


def thousand_events() -> list[Event]:
    lines = [LINE if n % 5 else LineRemoved(sku="SKU-000042", quantity=1) for n in range(1, LOADED)]
    return [OrderOpened(customer="c-1234567"), *lines]


class Files:
    """Fresh files in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory, self._count = Path(directory), 0

    def fresh(self) -> Path:
        self._count += 1
        return self._directory / f"{self._count}.db"
