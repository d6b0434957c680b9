"""Wiring: everything the contexts register, planned and checked in one go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headwater.app.belonging import Belonging
from headwater.app.catalogue import CataloguedSubscription
from headwater.app.context import BoundedContext, ProjectionRegistration, SubscriberRegistration
from headwater.app.known_types import KnownTypes
from headwater.clock import Clock
from headwater.domain.applies import where_is
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError, WiringError, WiringFault
from headwater.event_store import EventStore
from headwater.mediator.background import OnError
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.dispatch import Unheard
from headwater.mediator.handlers import Handlers
from headwater.mediator.limits import DEFAULT_LIMITS, Limits
from headwater.mediator.matching import stands_for
from headwater.mediator.mediator import Mediator
from headwater.mediator.registrations import Strategy
from headwater.mediator.signatures import name_of
from headwater.metadata import MessageContext
from headwater.ports.container import Container
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.history import Histories, ReadModelHistory
from headwater.projections.projection import Folds
from headwater.serialization.codec import EventCodec
from headwater.serialization.names import kebab_case
from headwater.serialization.personal.personal_data import PersonalData
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcast_faults import upcast_faults
from headwater.serialization.upcasting import Upcasters
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscriber import Delivery, SubscriberConsumer, current_delivery
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription
from headwater.unit_of_work.row_type import key_text
from headwater.unit_of_work.units import Units


class Surroundings(msgspec.Struct, frozen=True):
    """What an app gives its contexts to work with."""

    name: str
    storage: Storage
    databases: Mapping[str, Storage]
    clock: Clock
    container: Container | None
    instances: Mapping[Any, Any]
    on_error: OnError | None
    strategy: Strategy
    unheard: Unheard
    limits: Limits = DEFAULT_LIMITS
    personal: PersonalData | None = None


class Wiring:
    """The parts of a running app, made of its contexts.

    Raises:
        WiringError: with everything that is wrong in any of them.
    """

    def __init__(self, contexts: Sequence[BoundedContext], around: Surroundings) -> None:
        self._contexts, self._around = contexts, around
        self._belonging = Belonging(contexts, default=around.name)
        self._faults = self._belonging.faults()
        self._durable: list[type] = []
        self._folds: dict[ProjectionRegistration, Folds] = {}
        self.names: dict[Any, str] = {}
        self.histories = Histories()
        self.catalogued: list[CataloguedSubscription] = []
        self._sites: dict[str, str] = {}
        self.registry = TypeRegistry(
            around.name, self._belonging.of_stored, personal=around.personal
        )
        self.types = KnownTypes(self.registry, self._faults)
        upcasters = Upcasters()
        upcasters.include(*(context.upcasters for context in contexts))
        self.codec = EventCodec(self.registry, upcasters=upcasters)
        self._read_projections()
        self.units = Units(
            around.storage,
            codec=self.codec,
            clock=around.clock,
            context_of=self._belonging.of,
            elsewhere=self._elsewhere(),
            on_error=_reporter(around.on_error),
        )
        self.event_store = EventStore.on(self.units)
        mediator = self._mediator()
        self._deliverers = self._deliverers_of(mediator)
        self._take_types()
        self._unusable = self.types.compile(self.units)
        self._faults += upcast_faults(self.codec.chains, self.registry)
        self.runners = tuple(self._runners())
        if self._faults or mediator is None:
            raise WiringError(self._faults)
        self.mediator = mediator
        self._belonging.closed = True

    # ------------------------------------------------------------------------- reading

    def _read_projections(self) -> None:
        for context in self._contexts:
            for registration in context.projections:
                try:
                    folds = Folds(registration.projection)
                except WiringError as error:
                    self._faults += error.faults
                    continue
                self._folds[registration] = folds
                self.types.take(folds.model)
                self._durable += folds.events

    def _elsewhere(self) -> dict[type[ReadModel], Storage]:
        found: dict[type[ReadModel], Storage] = {}
        for registration, folds in self._folds.items():
            if registration.database is None:
                continue
            storage = self._around.databases.get(registration.database)
            if storage is None:
                known = ", ".join(self._around.databases) or "none"
                self._fault(
                    registration.site,
                    f"{registration.projection.__name__} wants database "
                    f"{registration.database!r}, which the app does not have.",
                    f"Give it to the app: databases={{'{registration.database}': 'sqlite:///…'}}; "
                    f"known: {known}.",
                )
            else:
                found[folds.model] = storage
        return found

    def _mediator(self) -> Mediator | None:
        try:
            return self._mediator_of(*self._contexts)
        except WiringError as error:
            self._faults += error.faults
            return None

    def _mediator_of(self, *tables: Handlers) -> Mediator:
        around = self._around
        return Mediator(
            *tables,
            container=around.container,
            instances={**around.instances, EventStore: self.event_store},
            resolvers=(self.types.notice, _delivery),
            from_message=(MessageContext,),
            propagate_context=True,
            units=self.units,
            durable=lambda cls: any(stands_for(pattern, cls) for pattern in self._durable),
            on_error=around.on_error,
            strategy=around.strategy,
            unheard=around.unheard,
            limits=around.limits,
        )

    def _deliverers_of(self, mediator: Mediator | None) -> dict[SubscriberRegistration, Deliverer]:
        """Return what hands events to each subscriber that has no fault of its own.

        Where other parts have faults and there is no *mediator*, each subscriber is planned
        alone, so that what is wrong with its events is reported along with those.
        """
        found: dict[SubscriberRegistration, Deliverer] = {}
        for subscriber in (each for context in self._contexts for each in context.subscribers):
            alone = Handlers()
            alone.deliveries.append(subscriber.delivery)
            try:
                planned = mediator or self._mediator_of(alone)
            except WiringError:
                continue  # Its faults are among the mediator's.
            found[subscriber] = planned.deliverer(subscriber.delivery)
        return found

    def _take_types(self) -> None:
        for context in self._contexts:
            self.types.take(*context.known)
            for decider in context.deciders:
                self.types.take(*decider.events)
                try:
                    self.units.decider_type(decider)
                except ConfigurationError as error:
                    self._fault(where_is(decider.evolve), str(error), "Leave snapshots= away.")
        for deliverer in self._deliverers.values():
            self.types.take(*deliverer.messages)
        for folds in self._folds.values():
            self.types.take(*folds.events)

    # ------------------------------------------------------------------- subscriptions

    def _runners(self) -> Iterator[Runner]:
        for context in self._contexts:
            for subscriber in context.subscribers:
                runner = self._subscriber(context, subscriber)
                if runner is not None:
                    yield runner
            for projection in context.projections:
                if projection in self._folds:
                    runner = self._projection(context, projection)
                    if runner is not None:
                        yield runner

    def _subscriber(
        self, context: BoundedContext, registration: SubscriberRegistration
    ) -> Runner | None:
        target = registration.delivery.target
        deliverer = self._deliverers.get(registration)
        if deliverer is None:
            return None
        name = registration.name or kebab_case(target.__name__)
        subscription = self._subscription(
            f"{context.name}.{name}",
            target,
            deliverer.messages,
            site=registration.delivery.site,
            partitions=registration.partitions,
            from_now=registration.from_now,
            page_events=registration.page_events,
        )
        if subscription is None:
            return None
        self._durable += deliverer.messages
        consumer = SubscriberConsumer(
            subscription.name,
            deliverer,
            units=self.units,
            key_of=_key_of(registration.key),
        )
        return self._runner(subscription, consumer, self._around.storage)

    def _projection(
        self, context: BoundedContext, registration: ProjectionRegistration
    ) -> Runner | None:
        cls, folds = registration.projection, self._folds[registration]
        if folds.model in self._unusable:
            return None
        subscription = self._subscription(
            f"{context.name}.{cls.projection_name or kebab_case(cls.__name__)}",
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
        target = self.units.storage_of(folds.model)
        rows = self.units.row_type(folds.model)
        consumer = ProjectionConsumer(projection, folds=folds, rows=rows, target=target)
        history = ReadModelHistory(
            cls.__name__, consumer, subscription, log=self._around.storage, codec=self.codec
        )
        self.histories.add(cls, folds.model, history)
        return self._runner(subscription, consumer, target, collection=rows.name)

    def _subscription(
        self, name: str, target: Any, messages: Sequence[type], *, site: str, **options: Any
    ) -> Subscription | None:
        takes = frozenset[str]().union(*(self.registry.names_of(cls) for cls in messages))
        names = frozenset[str]().union(*(self.codec.stored_names(cls) for cls in messages))
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
        return Subscription(name, LogFilter(types=names), takes=takes, **options)

    def _check_read(self, target: Any, messages: Sequence[type], site: str) -> None:
        for cls in messages:
            if self.registry.names_of(cls) and not self.codec.stored_names(cls):
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
            codec=self.codec,
            clock=self._around.clock,
        )

    def _fault(self, where: str, problem: str, advice: str) -> None:
        self._faults.append(WiringFault(problem, where=where, advice=advice))


def _delivery(annotation: Any) -> Callable[[], Any] | None:
    return current_delivery if annotation is Delivery else None


def _key_of(key: Callable[[Any], object] | None) -> Callable[[Arrival], str] | None:
    if key is None:
        return None
    return lambda arrival: key_text(key(arrival.recorded))


def _reporter(on_error: OnError | None) -> Callable[[str, Exception], None] | None:
    if on_error is None:
        return None
    return lambda where, error: (on_error(error, None, where), None)[1]
