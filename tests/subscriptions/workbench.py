"""Puts subscriptions together by hand, as the app does, on one storage."""

from collections.abc import Awaitable, Callable

from headwater.clock import SystemClock
from headwater.event_store import EventStore
from headwater.ports.leases import Checkpoint
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.projection import Folds
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.streams import ExpectedVersion
from headwater.subscriptions.delivery import Delivery, current_delivery
from headwater.subscriptions.flow import DEFAULT_WORKERS
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.start import BEGINNING, Start
from headwater.subscriptions.status import SubscriptionStatus
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription
from headwater.subscriptions.subscriptions import Subscriptions
from headwater.unit_of_work.units import Units
from tests.subscriptions.ledger import Balance, Balances, Booked, Closed, Exploded

TYPES = (Booked, Closed, Exploded)


class Workbench:
    """One process's view of a storage."""

    def __init__(self, storage: Storage, *, target: Storage | None = None) -> None:
        self.storage, self.target = storage, target or storage
        registry = TypeRegistry()
        self.names = frozenset(registry.register(cls) for cls in TYPES)
        self.codec = EventCodec(registry)
        self.units = Units(storage, codec=self.codec, elsewhere={Balance: self.target})
        self.store = EventStore(storage, types=TYPES)
        self.subscriptions: Subscriptions | None = None
        self.workers = DEFAULT_WORKERS

    async def append(self, stream: str, *events: object) -> int:
        return (await self.store.append(stream, events, expected=ExpectedVersion.any())).position

    async def book(self, account: str, cents: int = 1) -> int:
        return await self.append(f"ledger-{account}", Booked(account, cents))

    def runner(self, subscription: Subscription, consumer: Consumer, target: Storage) -> Runner:
        return Runner(
            subscription,
            consumer,
            log=self.storage,
            target=target,
            codec=self.codec,
            clock=SystemClock(),
        )

    async def projection(self, *, partitions: int = 4, page_events: int = 100) -> Runner:
        await self.units.prepare(models=[Balance])
        consumer = ProjectionConsumer(
            Balances(),
            folds=Folds(Balances),
            rows=self.units.row_type(Balance),
            target=self.target,
        )
        subscription = Subscription(
            "balances", LogFilter(types=self.names), partitions, page_events=page_events
        )
        return self.runner(subscription, consumer, self.target)

    def subscriber(
        self,
        handle: Callable[[Arrival, Delivery], Awaitable[object]],
        *,
        name: str = "mail",
        partitions: int = 4,
        start: Start = BEGINNING,
        page_events: int = 100,
    ) -> Runner:
        def handed_over(arrival: Arrival) -> Awaitable[object]:
            delivery = current_delivery()
            assert delivery is not None
            return handle(arrival, delivery)

        consumer = SubscriberConsumer(name, handed_over, units=self.units)
        subscription = Subscription(
            name,
            LogFilter(types=self.names),
            partitions,
            start=start,
            page_events=page_events,
        )
        return self.runner(subscription, consumer, self.storage)

    async def start(self, *runners: Runner) -> Subscriptions:
        self.subscriptions = Subscriptions(self.storage, runners, workers=self.workers)
        await self.subscriptions.start()
        return self.subscriptions

    async def stop(self) -> None:
        if self.subscriptions is not None:
            await self.subscriptions.stop()

    def status(self, name: str) -> SubscriptionStatus:
        assert self.subscriptions is not None
        return next(each for each in self.subscriptions.status() if each.name == name)

    async def checkpoints(self, name: str) -> list[Checkpoint]:
        """Return what is stored of a subscription that was opened before."""
        found = {each.name: each.checkpoints for each in await self.target.subscriptions()}
        return list(found[name])

    async def positions(self, name: str) -> list[int]:
        """Return where the partitions of a subscription stand."""
        return [checkpoint.position for checkpoint in await self.checkpoints(name)]

    async def balance(self, account: str) -> Balance | None:
        return await self.units.new().collection(Balance).get(account)
