"""Wiring: the tables of handlers, read, checked and planned; the table that dispatches."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headwater.errors import AmbiguousHandlerError, WiringError, WiringFault
from headwater.mediator.annotations import show
from headwater.mediator.answers import wrong_answer
from headwater.mediator.chains import BehaviourPlan
from headwater.mediator.deliveries import DeliveryPlan
from headwater.mediator.handlers import Handlers
from headwater.mediator.injection import CallPlan, Injector
from headwater.mediator.matching import is_protocol
from headwater.mediator.planning import ListenerPlan, Planner, only_for_subscribers
from headwater.mediator.registrations import (
    DeliveryRegistration,
    HandlerRegistration,
    ListenerRegistration,
    Stage,
)
from headwater.mediator.signatures import (
    Signature,
)
from headwater.messages import Request


class Wiring:
    """What several tables say, planned with one injector.

    Raises:
        WiringError: with everything that is wrong.
    """

    def __init__(self, tables: Sequence[Handlers], injector: Injector) -> None:
        self._faults: list[WiringFault] = []
        self._planner = Planner(injector, self._faults)
        self._claims: dict[type, Signature] = {}
        self.requests: dict[type, CallPlan] = {}
        self.listeners: list[ListenerPlan] = []
        self.behaviours: list[BehaviourPlan] = []
        self.deliveries: dict[DeliveryRegistration, list[DeliveryPlan]] = {}
        for handler in _each_once(tables, lambda table: table.handlers):
            self._add_handler(handler)
        for listener in _each_once(tables, lambda table: table.listeners):
            self._add_listener(listener)
        for delivery in _each_once(tables, lambda table: table.deliveries):
            self.deliveries[delivery] = self._planner.delivery(delivery)
        for behaviour in _each_once(tables, lambda table: table.behaviours):
            plan = self._planner.behaviour(behaviour)
            self.behaviours += [plan] if plan is not None else []
        self._check_expected(tables)
        self._check_behaviours()
        if self._faults:
            raise WiringError(self._faults)

    def handler_of(self, request_type: type) -> CallPlan | None:
        """Return what answers *request_type*: its own handler, else the nearest base class's.

        Raises:
            AmbiguousHandlerError: two base classes with handlers are equally near.
        """
        bases = [base for base in request_type.__mro__ if base in self.requests]
        if not bases:
            return None
        nearest, *others = bases
        for other in others:
            if not issubclass(nearest, other):
                raise AmbiguousHandlerError(request_type, nearest, other) from None
        return self.requests[nearest]

    def listeners_of(self, message_type: type) -> list[ListenerPlan]:
        """Return who hears *message_type*, each once, in order."""
        hearing = [listener for listener in self.listeners if listener.hears(message_type)]
        return sorted(hearing, key=lambda listener: (listener.order, listener.sequence))

    def needs(self) -> frozenset[Any]:
        """Return the keys of all APP dependencies."""
        plans = list(self.requests.values())
        plans += [listener.call for listener in self.listeners]
        plans += [behaviour.call for behaviour in self.behaviours]
        plans += [delivery.call for each in self.deliveries.values() for delivery in each]
        return frozenset(key for plan in plans for key in plan.needs)

    def subscribe(self, registration: ListenerRegistration) -> list[ListenerPlan]:
        """Add a listener now and return its plans.

        Raises:
            WiringError: something is wrong with it.
        """
        plans = self._planner.listener(registration)
        if self._faults:
            faults = self._faults.copy()
            self._faults.clear()
            raise WiringError(faults)
        self.listeners += plans
        return plans

    def unsubscribe(self, plans: Sequence[ListenerPlan]) -> None:
        """Remove what `subscribe` added."""
        self.listeners = [listener for listener in self.listeners if listener not in plans]

    # -------------------------------------------------------------------------- handlers

    def _add_handler(self, registration: HandlerRegistration) -> None:
        for signature, plan in self._planner.handler(registration):
            for request_type in signature.messages:
                if not self._is_request(request_type, signature):
                    continue
                self._check_answer(request_type, signature)
                first = self._claims.setdefault(request_type, signature)
                if first is not signature:
                    self._planner.fault(
                        signature,
                        f"{request_type.__name__} has a second handler, {signature.name}; the "
                        f"first is {first.name} ({first.where}).",
                        "Keep one of them.",
                    )
                elif plan is not None:
                    self.requests[request_type] = plan

    def _add_listener(self, registration: ListenerRegistration) -> None:
        plans = self._planner.listener(registration)
        for plan in plans:
            target = plan.call.signature.target
            if any(target is other.call.signature.target for other in self.listeners):
                self._planner.fault(
                    plan.call.signature,
                    f"{plan.call.signature.name} is registered twice, and would run twice.",
                    "Register it once; a union in its annotation names several messages.",
                )
        self.listeners += plans

    def _is_request(self, request_type: type, signature: Signature) -> bool:
        problem = only_for_subscribers(signature)
        if problem is None:
            if Request in request_type.__mro__ and not is_protocol(request_type):
                return True
            problem = f"handles {show(request_type)}, which is no request"
        self._planner.fault(
            signature,
            f"{signature.name} {problem}.",
            "Requests derive from Command[R], Query[R] or the mixin Request[R]; for what is "
            "published use @….on.",
        )
        return False

    def _check_answer(self, request_type: type[Any], signature: Signature) -> None:
        wrong = wrong_answer(signature, request_type)
        if wrong is not None:
            advice = f"Mend one of them: class {request_type.__name__}(Command[…])."
            self._planner.fault(signature, f"{wrong}.", advice)

    def _check_behaviours(self) -> None:
        heard = [pattern for listener in self.listeners for pattern in listener.patterns]
        delivered = [p for each in self.deliveries.values() for plan in each for p in plan.patterns]
        lists = [plan for each in self.deliveries.values() for plan in each if plan.many]
        known = {
            Stage.REQUEST: list(self._claims),
            Stage.PUBLISH: heard,
            Stage.NOTIFICATION: heard,
            Stage.DELIVERY: delivered,
        }
        for behaviour in self.behaviours:
            self._check_lists(behaviour, lists)
            if behaviour.stage is Stage.PUBLISH and object in behaviour.patterns:
                continue  # It stands around what nobody hears, too.
            if not any(behaviour.might_apply_to(pattern) for pattern in known[behaviour.stage]):
                signature = behaviour.call.signature
                self._planner.fault(
                    signature,
                    f"behaviour {signature.name} stands around "
                    f"{', '.join(show(pattern) for pattern in behaviour.patterns)} at stage "
                    f"{behaviour.stage.name}, and nothing handles that.",
                    "Name another message, mend 'when' or 'stage', or remove it.",
                )

    def _check_lists(self, behaviour: BehaviourPlan, lists: Sequence[DeliveryPlan]) -> None:
        """Find out whether *behaviour* is for lists of events where they are delivered so."""
        signature = behaviour.call.signature
        shown = " | ".join(show(pattern) for pattern in behaviour.patterns)
        if behaviour.stage is not Stage.DELIVERY:
            if not behaviour.takes(many=False):
                self._planner.fault(
                    signature,
                    f"behaviour {signature.name} takes a list, and stands where none comes.",
                    f"Take a single {shown}; only deliveries (stage=Stage.DELIVERY) have lists.",
                )
            return
        for plan in lists:
            if behaviour.takes(many=True) or not any(
                behaviour.might_apply_to(pattern) for pattern in plan.patterns
            ):
                continue
            self._planner.fault(
                signature,
                f"behaviour {signature.name} takes a single {shown}, and "
                f"{plan.call.signature.name} ({plan.call.signature.where}) gets a list of them.",
                f"Let it take both, {shown} | list[{shown}], or narrow it by when=….",
            )

    def _check_expected(self, tables: Sequence[Handlers]) -> None:
        reported: set[type] = set()
        for expected in _each_once(tables, lambda table: table.expected):
            request_type = expected.request_type
            if request_type in reported or any(t in self._claims for t in request_type.__mro__):
                continue
            reported.add(request_type)
            self._faults.append(
                WiringFault(
                    f"no handler for {request_type.__name__}.",
                    where=expected.site,
                    advice=f"Write one that takes it: @….handler async def …(message: "
                    f"{request_type.__name__}).",
                )
            )


def _each_once(tables: Sequence[Handlers], part: Callable[[Handlers], Iterable[Any]]) -> list[Any]:
    """Return *part* of all tables; what two of them include counts once."""
    return list({id(entry): entry for table in tables for entry in part(table)}.values())
