"""A package that creates two contexts: what stands here must say where it belongs."""

from headwater.app import BoundedContext
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.messages import Event

left = BoundedContext("left")
right = BoundedContext("right")


class Torn(Event):
    sku: str


class Settled(Event, context="left"):
    sku: str


class TornAggregate(Aggregate[str]):
    @applies
    def _settled(self, event: Settled) -> None: ...


class TornRow(ReadModel, key="sku"):
    sku: str
