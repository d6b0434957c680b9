from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.messages import Event


class Sold(Event):
    sku: str


class Invoiced(Event, context="billing"):
    sku: str


class Sale(Aggregate[str]):
    sku: str = ""

    @applies
    def _sold(self, event: Sold) -> None:
        self.sku = event.sku


class SaleRow(ReadModel, key="sku"):
    sku: str
