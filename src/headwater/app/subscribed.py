"""What is subscribed to an app's log: how each is called, what it reads, and its runner."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headwater.app.catalogue import CataloguedSubscription
from headwater.app.reading import faults_of, filter_of
from headwater.app.registrations import ProjectionRegistration, SubscriberRegistration
from headwater.app.surroundings import Surroundings
from headwater.errors import WiringFault
from headwater.mediator.deliveries import Deliverer
from headwater.mediator.signatures import name_of
from headwater.operations.projections.generations import Generation
from headwater.ports.log import EVERYTHING, LogFilter
from headwater.ports.storage import Storage
from headwater.projections.consumer import ProjectionConsumer
from headwater.projections.folding import Folding
from headwater.projections.history import Histories, ReadModelHistory
from headwater.projections.plan import ProjectionPlan
from headwater.projections.projection import Folds
from headwater.resilience import Policy
from headwater.serialization.codec import EventCodec
from headwater.serialization.names import kebab_case
from headwater.serialization.registry import TypeRegistry
from headwater.subscriptions.batch_subscriber import BatchSubscriberConsumer
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.failures.handling import FailureHandling
from headwater.subscriptions.failures.policy import failure_policy
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, Consumer, Subscription
from headwater.unit_of_work.fold_digest import code_digest
from headwater.unit_of_work.row_type import key_text
from headwater.unit_of_work.units import Units


class Handled(msgspec.Struct, frozen=True):
    """What hands events to a subscriber, and what becomes of those that fail, under its name.

    `external`: it reaches outside of the storage, so a dry run must not run it as it is.
    """

    consumer: SubscriberConsumer
    handling: FailureHandling
    external: bool


class Folded(msgspec.Struct, frozen=True):
    """What folds events into the rows of a generation, and what becomes of those that fail."""

    consumer: ProjectionConsumer[Any]
    handling: FailureHandling


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
        self.handled: dict[str, Handled] = {}
        self.handlings: dict[str, FailureHandling] = {}

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
            where=filter_of(registration, self._units),
            partitions=registration.partitions,
            start=registration.start,
            page_events=registration.page_events,
            gather=_gather(registration, deliverer),
        )
        faults = faults_of(registration, deliverer)
        self._faults += faults
        if subscription is None or faults:
            return None
        consumer = self._consumer(subscription, registration, deliverer)
        [policy] = deliverer.policies
        handling = FailureHandling(
            subscription,
            consumer,
            policy=failure_policy(
                delayed=registration.delayed,
                then=registration.on_failure,
                waiting_max=registration.waiting_max,
            ),
            log=self._around.storage,
            target=self._around.storage,
            codec=self._codec,
            clock=self._around.clock,
            breakers=Policy(policy).breakers if policy is not None else (),
            code=code_digest(target),
        )
        self.handlings[subscription.name] = handling
        self.handled[subscription.name] = Handled(
            consumer, handling, external=registration.external
        )
        storage = self._around.storage
        self.catalogued.append(CataloguedSubscription(subscription.name, storage))
        return self._runner(subscription, consumer, storage, failures=handling)

    def projection(
        self, context: str, registration: ProjectionRegistration, folds: Folds
    ) -> ProjectionPlan[Any] | None:
        """Return the plan of a projection of *context*, None if something is wrong with it."""
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
        if cls.inline and target is not self._around.storage:
            self._fault(
                registration.site,
                f"{cls.__name__} is computed inline, and its rows are to live in another database.",
                "Rows that are committed with the events live with the log.",
            )
            return None
        folding = Folding(projection, folds, self._units.row_type(folds.model))
        history = ReadModelHistory(
            cls.__name__, folding, subscription, log=self._around.storage, codec=self._codec
        )
        self.histories.add(cls, folds.model, history)
        catalogued = CataloguedSubscription(subscription.name, target, folding.type.name)
        self.catalogued.append(catalogued)
        return ProjectionPlan(folding, subscription, target=target, codec=self._codec)

    def generation(self, plan: ProjectionPlan[Any], generation: Generation) -> Runner:
        """Return what runs *generation* of a projection."""
        subscription, folded = plan.subscription_of(generation), self.folded(plan, generation)
        self.handlings[subscription.name] = folded.handling
        return self._runner(subscription, folded.consumer, plan.target, failures=folded.handling)

    def folded(self, plan: ProjectionPlan[Any], generation: Generation) -> Folded:
        """Return what folds events into the rows of *generation*."""
        consumer = plan.consumer_of(generation)
        handling = FailureHandling(
            plan.subscription_of(generation),
            consumer,
            policy=plan.cls.failures,
            log=self._around.storage,
            target=plan.target,
            codec=self._codec,
            clock=self._around.clock,
            code=code_digest(plan.cls),
        )
        return Folded(consumer, handling)

    def _subscription(
        self,
        name: str,
        target: Any,
        messages: Sequence[type],
        *,
        site: str,
        where: LogFilter = EVERYTHING,
        **options: Any,
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
            msgspec.structs.replace(where, types=names),
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
        failures: FailureHandling | None = None,
    ) -> Runner:
        return Runner(
            subscription,
            consumer,
            log=self._around.storage,
            target=target,
            codec=self._codec,
            clock=self._around.clock,
            failures=failures,
        )

    def _consumer(
        self,
        subscription: Subscription,
        registration: SubscriberRegistration,
        deliverer: Deliverer,
    ) -> SubscriberConsumer:
        key_of, [policy] = _key_of(registration.key), deliverer.policies
        if subscription.gather is None:
            return SubscriberConsumer(
                subscription.name, deliverer, units=self._units, key_of=key_of, policy=policy
            )
        return BatchSubscriberConsumer(
            subscription.name,
            deliverer.hand_over_list,
            units=self._units,
            batching=subscription.gather,
            key_of=key_of,
            policy=policy,
        )

    def _fault(self, where: str, problem: str, advice: str) -> None:
        self._faults.append(WiringFault(problem, where=where, advice=advice))


def _gather(registration: SubscriberRegistration, deliverer: Deliverer) -> Batching | None:
    return (registration.batch or Batching()) if deliverer.takes_lists else None


def _key_of(key: Callable[[Any], object] | None) -> Callable[[Arrival], str] | None:
    if key is None:
        return None
    return lambda arrival: key_text(key(arrival.recorded))
