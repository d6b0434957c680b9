"""Two releases of one program: what each knows, and its worker of one subscription."""

from collections.abc import Awaitable, Callable
from typing import Any

from headwater.clock import SystemClock
from headwater.domain.applies import applies
from headwater.domain.read_model import ReadModel
from headwater.event_store import EventStore
from headwater.messages import Event
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.projection import Folds, Projection
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcasting import Upcasters
from headwater.streams import ExpectedVersion
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription
from headwater.subscriptions.subscriptions import Subscriptions
from headwater.unit_of_work.units import Units

Handle = Callable[[Arrival], Awaitable[object]]


class Placed(Event, name="sales.placed"):
    order: str


class PlacedToday(Event, name="sales.placed", version=2):
    order: str
    pieces: int = 1


class Shipped(Event, name="sales.shipped"):
    order: str


class Count(ReadModel, key="order"):
    order: str
    events: int


class OldCounts(Projection[Count]):
    @applies
    def placed(self, event: Placed, row: Count | None) -> Count:
        return Count(event.order, (row.events if row else 0) + 1)


class NewCounts(Projection[Count]):
    @applies
    def placed(self, event: PlacedToday, row: Count | None) -> Count:
        return Count(event.order, (row.events if row else 0) + 1)

    @applies
    def shipped(self, event: Shipped, row: Count) -> Count:
        return Count(event.order, row.events + 1)


class Release:
    """A process that knows *types*, on a storage that it shares with others."""

    def __init__(self, storage: Storage, *types: type, upcasters: Upcasters | None = None) -> None:
        self.storage = storage
        registry = TypeRegistry()
        for cls in types:
            registry.register(cls)
        self.codec = EventCodec(registry, upcasters=upcasters or ())
        self.names = frozenset(name for cls in types for name in self.codec.stored_names(cls))
        self.units = Units(storage, codec=self.codec)
        self.store = EventStore(storage, types=types)
        self.handed: list[object] = []
        self.workers = Workers(10, 0.01)
        self.subscriptions = Subscriptions(storage, ())

    async def append(self, *events: Any) -> int:
        """Append events, each to the stream of its order; return the last one's position."""
        position = 0
        for event in events:
            stream = f"sales.order-{event.order}"
            done = await self.store.append(stream, [event], expected=ExpectedVersion.ANY)
            position = done.position
        return position

    def worker(self, handle: Handle | None = None, *, wanted: LogFilter | None = None) -> Runner:
        """Return a worker of the subscription ``mail`` whose handler notes what it gets."""

        async def note(arrival: Arrival) -> None:
            self.handed.append(arrival.payload)
            if handle is not None:
                await handle(arrival)

        return self._runner("mail", SubscriberConsumer("mail", note, units=self.units), wanted)

    async def counts(self, projection: type[Projection[Count]]) -> Runner:
        """Return a worker of the projection ``counts``."""
        await self.units.prepare(models=[Count])
        rows = self.units.row_type(Count)
        consumer = ProjectionConsumer(
            projection(), folds=Folds(projection), rows=rows, target=self.storage
        )
        return self._runner("counts", consumer, None)

    async def count(self, order: str) -> int:
        """Return how many events of an order were counted."""
        row = await self.units.new().collection(Count).get(order)
        return row.events if row is not None else 0

    async def start(self, runner: Runner) -> Subscriptions:
        """Start a worker, until `stop`."""
        self.subscriptions = Subscriptions(self.storage, [runner], workers=self.workers)
        await self.subscriptions.start()
        return self.subscriptions

    async def stop(self) -> None:
        await self.subscriptions.stop()

    def _runner(self, name: str, consumer: Consumer, wanted: LogFilter | None) -> Runner:
        subscription = Subscription(
            name,
            wanted or LogFilter(types=self.names),
            4,
            reads=self.codec.newest_versions(self.names),
            passes=self.codec.passed_over(self.names),
        )
        return Runner(
            subscription,
            consumer,
            log=self.storage,
            target=self.storage,
            codec=self.codec,
            clock=SystemClock(),
        )
