"""What is subscribed to an app's log: how each is called, what it reads, and its runner."""

from collections.abc import Callable, Sequence
from typing import Any

from headwater.app.catalogue import CataloguedSubscription
from headwater.app.context import ProjectionRegistration, SubscriberRegistration
from headwater.app.surroundings import Surroundings
from headwater.errors import WiringFault
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.signatures import name_of
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.history import Histories, ReadModelHistory
from headwater.projections.projection import Folds
from headwater.serialization.codec import EventCodec
from headwater.serialization.names import kebab_case
from headwater.serialization.registry import TypeRegistry
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription
from headwater.unit_of_work.row_type import key_text
from headwater.unit_of_work.units import Units


class Subscribed:
    """Makes runners, and knows what they run; faults are added to *faults*."""

    def __init__(
        self,
        around: Surroundings,
        *,
        registry: TypeRegistry,
        codec: EventCodec,
        units: Units,
        faults: list[WiringFault],
    ) -> None:
        """Look for events in *registry* once its types are complete."""
        self._around, self._faults = around, faults
        self._registry, self._codec, self._units = registry, codec, units
        self._sites: dict[str, str] = {}
        self.names: dict[Any, str] = {}
        self.histories = Histories()
        self.catalogued: list[CataloguedSubscription] = []

    def subscriber(
        self, context: str, registration: SubscriberRegistration, deliverer: Deliverer
    ) -> Runner | None:
        """Return what runs a subscriber of *context*, None if something is wrong with it."""
        target = registration.delivery.target
        name = registration.name or kebab_case(target.__name__)
        subscription = self._subscription(
            f"{context}.{name}",
            target,
            deliverer.messages,
            site=registration.delivery.site,
            partitions=registration.partitions,
            start=registration.start,
            page_events=registration.page_events,
        )
        if subscription is None:
            return None
        consumer = SubscriberConsumer(
            subscription.name,
            deliverer,
            units=self._units,
            key_of=_key_of(registration.key),
        )
        return self._runner(subscription, consumer, self._around.storage)

    def projection(
        self, context: str, registration: ProjectionRegistration, folds: Folds
    ) -> Runner | None:
        """Return what runs a projection of *context*, None if something is wrong with it."""
        cls = registration.projection
        subscription = self._subscription(
            f"{context}.{cls.projection_name or kebab_case(cls.__name__)}",
            cls,
            folds.events,
            site=registration.site,
            partitions=cls.partitions,
        )
        if subscription is None:
            return None
        try:
            projection = cls()
        except TypeError as error:
            self._fault(
                registration.site,
                f"{cls.__name__} can't be made: {error}.",
                "A projection is pure and its constructor takes nothing; what needs dependencies "
                "is a function or a class with handle… methods.",
            )
            return None
        target = self._units.storage_of(folds.model)
        rows = self._units.row_type(folds.model)
        consumer = ProjectionConsumer(projection, folds=folds, rows=rows, target=target)
        history = ReadModelHistory(
            cls.__name__, consumer.folding, subscription, log=self._around.storage, codec=self._codec
        )
        self.histories.add(cls, folds.model, history)
        return self._runner(subscription, consumer, target, collection=rows.name)

    def _subscription(
        self, name: str, target: Any, messages: Sequence[type], *, site: str, **options: Any
    ) -> Subscription | None:
        takes = frozenset[str]().union(*(self._registry.names_of(cls) for cls in messages))
        names = frozenset[str]().union(*(self._codec.stored_names(cls) for cls in messages))
        if not takes:
            wanted = ", ".join(cls.__name__ for cls in messages)
            self._fault(
                site,
                f"{name_of(target)} wants {wanted}, but the app knows no such event.",
                "Make the events known: context.register(…), context.scan(package), or a "
                "repository of their aggregate in some handler.",
            )
            return None
        if target in self.names:
            self._fault(site, f"{name_of(target)} is registered twice.", "Register it once.")
        elif name in self._sites:
            self._fault(
                site,
                f"{name_of(target)} is called {name!r}, as is the subscription at "
                f"{self._sites[name]}; their checkpoints would be one.",
                "Give one of them another name: name='…'.",
            )
        self.names[target] = name
        self._sites.setdefault(name, site)
        self._check_read(target, messages, site)
        return Subscription(
            name,
            LogFilter(types=names),
            takes=takes,
            reads=self._codec.newest_versions(names),
            passes=self._codec.passed_over(names),
            **options,
        )

    def _check_read(self, target: Any, messages: Sequence[type], site: str) -> None:
        for cls in messages:
            if self._registry.names_of(cls) and not self._codec.stored_names(cls):
                self._fault(
                    site,
                    f"{name_of(target)} wants {cls.__name__}, but upcasters make something else "
                    f"of all that is stored as it.",
                    "Let it take what they make.",
                )

    def _runner(
        self,
        subscription: Subscription,
        consumer: Consumer,
        target: Storage,
        *,
        collection: str | None = None,
    ) -> Runner:
        self.catalogued.append(CataloguedSubscription(subscription.name, target, collection))
        return Runner(
            subscription,
            consumer,
            log=self._around.storage,
            target=target,
            codec=self._codec,
            clock=self._around.clock,
        )

    def _fault(self, where: str, problem: str, advice: str) -> None:
        self._faults.append(WiringFault(problem, where=where, advice=advice))


def _key_of(key: Callable[[Any], object] | None) -> Callable[[Arrival], str] | None:
    if key is None:
        return None
    return lambda arrival: key_text(key(arrival.recorded))
