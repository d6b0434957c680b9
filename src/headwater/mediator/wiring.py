"""Wiring: the tables of handlers, read, checked and planned; the table that dispatches."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headwater.errors import AmbiguousHandlerError, WiringError, WiringFault
from headwater.mediator.chains import BehaviourPlan
from headwater.mediator.deliveries import DeliveryPlan
from headwater.mediator.handlers import Handlers
from headwater.mediator.injection import CallPlan, Injector
from headwater.mediator.matching import is_protocol, stands_for
from headwater.mediator.registrations import (
    BehaviourRegistration,
    DeliveryRegistration,
    HandlerRegistration,
    ListenerRegistration,
    Stage,
    Strategy,
)
from headwater.mediator.signatures import (
    Kind,
    Signature,
    messages_in,
    name_of,
    read_signature,
    show,
    where_of,
)
from headwater.messages import Request


class ListenerPlan(msgspec.Struct, frozen=True, eq=False):
    """A handler of published messages, and its place among the others."""

    call: CallPlan
    patterns: tuple[type, ...]
    strategy: Strategy | None
    after_commit: bool
    order: int
    sequence: int

    def hears(self, message_type: type) -> bool:
        """Return whether messages of exactly *message_type* come here."""
        return any(stands_for(pattern, message_type) for pattern in self.patterns)


class Wiring:
    """What several tables say, planned with one injector.

    Raises:
        WiringError: with everything that is wrong.
    """

    def __init__(self, tables: Sequence[Handlers], injector: Injector) -> None:
        self._injector = injector
        self._faults: list[WiringFault] = []
        self._claims: dict[type, Signature] = {}
        self._sequence = 0
        self.requests: dict[type, CallPlan] = {}
        self.listeners: list[ListenerPlan] = []
        self.behaviours: list[BehaviourPlan] = []
        self.deliveries: dict[DeliveryRegistration, list[DeliveryPlan]] = {}
        for handler in _each_once(tables, lambda table: table.handlers):
            self._add_handler(handler)
        for listener in _each_once(tables, lambda table: table.listeners):
            self.listeners += self._plan_listener(listener)
        for delivery in _each_once(tables, lambda table: table.deliveries):
            self.deliveries[delivery] = self._plan_delivery(delivery)
        for behaviour in _each_once(tables, lambda table: table.behaviours):
            self._add_behaviour(behaviour)
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
                raise AmbiguousHandlerError(request_type, nearest, other)
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
        faults = self._faults = []
        plans = self._plan_listener(registration)
        if faults:
            raise WiringError(faults)
        self.listeners += plans
        return plans

    def unsubscribe(self, plans: Sequence[ListenerPlan]) -> None:
        """Remove what `subscribe` added."""
        self.listeners = [listener for listener in self.listeners if listener not in plans]

    # -------------------------------------------------------------------------- handlers

    def _add_handler(self, registration: HandlerRegistration) -> None:
        for owner, signature in self._signatures(registration.target, registration.site):
            plan = self._injector.plan(
                signature, self._faults, owner=owner, inline=registration.inline
            )
            for request_type in signature.messages:
                if not self._is_request(request_type, signature):
                    continue
                first = self._claims.setdefault(request_type, signature)
                if first is not signature:
                    self._fault(
                        signature,
                        f"{request_type.__name__} has a second handler, {signature.name}; the "
                        f"first is {first.name} ({first.where}).",
                        "Keep one of them.",
                    )
                elif plan is not None:
                    self.requests[request_type] = plan

    def _is_request(self, request_type: type, signature: Signature) -> bool:
        if signature.recorded:
            problem = "asks for Recorded[…], which only durable subscribers get"
        elif is_protocol(request_type) or not issubclass(request_type, Request):
            problem = f"handles {show(request_type)}, which is no request"
        else:
            return True
        self._fault(
            signature,
            f"{signature.name} {problem}.",
            "Requests derive from Command[R], Query[R] or the mixin Request[R]; for what is "
            "published use @….on.",
        )
        return False

    def _plan_listener(self, registration: ListenerRegistration) -> list[ListenerPlan]:
        plans: list[ListenerPlan] = []
        signatures = self._signatures(
            registration.target, registration.site, messages=registration.messages
        )
        for owner, signature in signatures:
            if signature.recorded or signature.kind is Kind.STREAM:
                problem = (
                    "asks for Recorded[…], which only durable subscribers get"
                    if signature.recorded
                    else "is an async generator, and nobody reads it"
                )
                self._fault(
                    signature,
                    f"{signature.name} {problem}.",
                    "Take the bare message and return nothing.",
                )
                continue
            plan = self._injector.plan(
                signature, self._faults, owner=owner, inline=registration.inline
            )
            if plan is not None:
                self._sequence += 1
                plans.append(
                    ListenerPlan(
                        plan,
                        registration.messages or signature.messages,
                        registration.strategy,
                        registration.after_commit,
                        registration.order,
                        self._sequence,
                    )
                )
        return plans

    def _plan_delivery(self, registration: DeliveryRegistration) -> list[DeliveryPlan]:
        plans: list[DeliveryPlan] = []
        for owner, signature in self._signatures(registration.target, registration.site):
            if signature.kind is Kind.STREAM:
                problem = f"{signature.name} is an async generator, and nobody reads it."
                self._fault(signature, problem, "Return nothing.")
                continue
            plan = self._injector.plan(
                signature, self._faults, owner=owner, inline=registration.inline
            )
            if plan is not None:
                plans.append(DeliveryPlan(plan, signature.messages, signature.recorded))
        return plans

    def _signatures(
        self, target: Any, site: str, messages: tuple[type, ...] = ()
    ) -> Iterator[tuple[type | None, Signature]]:
        """Yield the signature of a function, or of each ``handle…`` method of a class."""
        if not inspect.isclass(target):
            leading = read_signature(target, self._faults, where=site, messages=messages)
            if leading is not None:
                yield None, leading
            return
        names = [name for name in dir(target) if name.startswith("handle")]
        if not names:
            self._faults.append(
                WiringFault(
                    f"class {name_of(target)} has no method whose name starts with 'handle'.",
                    where=where_of(target) or site,
                    advice="Give it one for each message it handles.",
                )
            )
        for name in sorted(names, key=lambda name: _line_of(getattr(target, name))):
            signature = read_signature(
                getattr(target, name), self._faults, where=site, method=True, messages=messages
            )
            if signature is not None:
                yield target, signature

    # ------------------------------------------------------------------------ behaviours

    def _add_behaviour(self, registration: BehaviourRegistration) -> None:
        owner, target = None, registration.target
        if inspect.isclass(target):
            owner, target = target, target.__call__
        signature = read_signature(
            target, self._faults, leading=2, where=registration.site, method=owner is not None
        )
        if signature is None:
            return
        if signature.kind is not Kind.ASYNC:
            self._fault(signature, f"behaviour {signature.name} is no 'async def'.", "Make it one.")
            return
        plan = self._injector.plan(signature, self._faults, owner=owner)
        patterns = signature.messages
        if registration.on is not None:
            try:
                patterns, _ = messages_in(registration.on)
            except ValueError as error:
                self._fault(
                    signature,
                    f"behaviour {signature.name} stands on {show(registration.on)}, {error}.",
                    "Name message classes, a union of them, or a runtime Protocol.",
                )
                return
        if plan is not None:
            self._sequence += 1
            when = registration.when or getattr(registration.target, "applies_to", None)
            self.behaviours.append(
                BehaviourPlan(
                    plan, patterns, when, registration.stage, registration.order, self._sequence
                )
            )

    def _check_behaviours(self) -> None:
        heard = [pattern for listener in self.listeners for pattern in listener.patterns]
        delivered = [p for each in self.deliveries.values() for plan in each for p in plan.patterns]
        known = {
            Stage.REQUEST: list(self._claims),
            Stage.PUBLISH: heard,
            Stage.NOTIFICATION: heard,
            Stage.DELIVERY: delivered,
        }
        for behaviour in self.behaviours:
            if not any(behaviour.might_apply_to(pattern) for pattern in known[behaviour.stage]):
                signature = behaviour.call.signature
                self._fault(
                    signature,
                    f"behaviour {signature.name} stands around "
                    f"{', '.join(show(pattern) for pattern in behaviour.patterns)} at stage "
                    f"{behaviour.stage.name}, and nothing handles that.",
                    "Name another message, mend 'when' or 'stage', or remove it.",
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

    def _fault(self, signature: Signature, problem: str, advice: str) -> None:
        self._faults.append(WiringFault(problem, where=signature.where, advice=advice))


def _each_once(tables: Sequence[Handlers], part: Callable[[Handlers], Iterable[Any]]) -> list[Any]:
    """Return *part* of all tables; what two of them include counts once."""
    return list({id(entry): entry for table in tables for entry in part(table)}.values())


def _line_of(method: Any) -> int:
    code = getattr(inspect.unwrap(method), "__code__", None)
    return code.co_firstlineno if code is not None else 0
