"""Wiring: everything the contexts register, planned and checked in one go."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headwater.app.belonging import Belonging
from headwater.app.context import BoundedContext
from headwater.app.known_types import KnownTypes
from headwater.app.projection_runners import ProjectionRunners
from headwater.app.registrations import ProjectionRegistration, SubscriberRegistration
from headwater.app.subscribed import Subscribed
from headwater.app.surroundings import Surroundings
from headwater.domain.applies import where_is
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError, WiringError, WiringFault
from headwater.event_store import EventStore
from headwater.mediator.background import OnError
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.handlers import Handlers
from headwater.mediator.matching import stands_for
from headwater.mediator.mediator import Mediator
from headwater.metadata import MessageContext
from headwater.ports.storage import Storage
from headwater.projections.plan import ProjectionPlan
from headwater.projections.projection import Folds
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcast_faults import upcast_faults
from headwater.serialization.upcasting import Upcasters
from headwater.subscriptions.delivery import delivery_values
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.subscriptions.runner import Runner
from headwater.unit_of_work.units import Units


class Wiring:
    """The parts of a running app, made of its contexts.

    Raises:
        WiringError: with everything that is wrong in any of them.
    """

    def __init__(self, contexts: Sequence[BoundedContext], around: Surroundings) -> None:
        self._contexts, self.around = contexts, around
        self._belonging = Belonging(contexts, default=around.name)
        self._faults = self._belonging.faults()
        self._durable: list[type] = []
        self._folds: dict[ProjectionRegistration, Folds] = {}
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
            computed={folds.model: folds.version for folds in self._folds.values()},
            on_error=_reporter(around.on_error),
        )
        self.event_store = EventStore.on(self.units)
        self.effect_ledger = EffectLedger(around.storage, codec=self.codec, clock=around.clock)
        self.subscribed = Subscribed(
            around, registry=self.registry, codec=self.codec, units=self.units, faults=self._faults
        )
        mediator = self._mediator()
        self._deliverers = self._deliverers_of(mediator)
        self._take_types()
        self._unusable = self.types.compile(self.units)
        self._faults += upcast_faults(self.codec.chains, self.registry)
        self.runners = tuple(self._runners())
        self.projections = ProjectionRunners(
            tuple(self._plans()),
            log=around.storage,
            clock=around.clock,
            runner_of=self.subscribed.generation,
        )
        if self._faults or mediator is None:
            raise WiringError(self._faults)
        self.mediator = mediator
        self.units.inline = self.projections.inline
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
            storage = self.around.databases.get(registration.database)
            if storage is None:
                known = ", ".join(self.around.databases) or "none"
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
        around = self.around
        return Mediator(
            *tables,
            container=around.container,
            instances={
                **around.instances,
                EventStore: self.event_store,
                EffectLedger: self.effect_ledger,
            },
            resolvers=(self.types.notice, delivery_values),
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
                deliverer = self._deliverers.get(subscriber)
                if deliverer is None:
                    continue
                runner = self.subscribed.subscriber(context.name, subscriber, deliverer)
                if runner is not None:
                    self._durable += deliverer.messages
                    yield runner

    def _plans(self) -> Iterator[ProjectionPlan[Any]]:
        models = Counter(folds.model for folds in self._folds.values())
        for context in self._contexts:
            for projection in context.projections:
                folds = self._folds.get(projection)
                if folds is None or folds.model in self._unusable:
                    continue
                plan = self.subscribed.projection(context.name, projection, folds)
                if plan is None:
                    continue
                plan.alone = models[folds.model] == 1
                if plan.cls.inline and not plan.alone:
                    self._fault(
                        projection.site,
                        f"{plan.cls.__name__} is computed inline, and others compute "
                        f"{folds.model.__name__} too.",
                        "Give it a read model of its own.",
                    )
                yield plan

    def _fault(self, where: str, problem: str, advice: str) -> None:
        self._faults.append(WiringFault(problem, where=where, advice=advice))


def _reporter(on_error: OnError | None) -> Callable[[str, Exception], None] | None:
    if on_error is None:
        return None
    return lambda where, error: (on_error(error, None, where), None)[1]
