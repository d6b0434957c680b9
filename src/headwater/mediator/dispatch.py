"""Dispatch: for each concrete message type, the one call that does everything, made once."""

import logging
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

import msgspec

from headwater.errors import HandlerNotFoundError, NotPublishableError
from headwater.mediator.background import Background
from headwater.mediator.calls import AsyncFunction, build
from headwater.mediator.chains import (
    INSIDE_UNIT_OF_WORK,
    BehaviourPlan,
    chain,
    chosen,
    chosen_for_lists,
)
from headwater.mediator.deliveries import Deliverer, DeliveryPlan
from headwater.mediator.injection import CallPlan, Constants
from headwater.mediator.planning import ListenerPlan
from headwater.mediator.registrations import DeliveryRegistration, Stage, Strategy
from headwater.mediator.scopes import Call, Scopes
from headwater.mediator.signatures import Kind, name_of
from headwater.mediator.strategies import run_together
from headwater.mediator.threads import WorkerThreads
from headwater.mediator.transactions import Transactions
from headwater.mediator.wiring import Wiring

_log = logging.getLogger("headwater")

_TOGETHER = (Strategy.PARALLEL, Strategy.CANCEL_SIBLINGS, Strategy.ISOLATED, Strategy.BACKGROUND)


class Unheard(Enum):
    """What happens when nobody hears a published message."""

    WARN_ONCE = "warn once"
    """A warning in the log, once per type."""

    WARN = "warn"
    """A warning in the log, every time."""

    RAISE = "raise"
    """`HandlerNotFoundError`."""


class Composed(msgspec.Struct, frozen=True):
    """A call that can be made when the APP dependencies in `needs` were got.

    `bare` tells that it is a single handler whose error is raised as it is.
    """

    needs: frozenset[Any]
    make: Callable[[], Call]
    bare: bool = False


class Dispatch:
    """Composes calls out of what the wiring planned."""

    def __init__(
        self,
        wiring: Wiring,
        constants: Constants,
        *,
        scopes: Scopes | None,
        transactions: Transactions | None,
        threads: WorkerThreads,
        background: Background,
        unheard: Unheard,
        durable: Callable[[type], bool],
    ) -> None:
        self._wiring, self._constants = wiring, constants
        self._scopes, self._transactions = scopes, transactions
        self._threads, self._background = threads, background
        self._unheard, self._durable = unheard, durable
        self._warned: set[type] = set()

    # -------------------------------------------------------------------------- requests

    def request(self, request_type: type) -> Composed:
        """Return what answers *request_type*.

        From the inside: the handler, the behaviours that run again with it, the unit of work,
        the behaviours outside of that. A request scope stands where somebody needs it.

        Raises:
            HandlerNotFoundError: nobody handles it, or by a stream only.
            AmbiguousHandlerError: two base classes with handlers are equally near.
        """
        plan = self._handler(request_type, stream=False)
        around = chosen(self._wiring.behaviours, Stage.REQUEST, request_type)
        inside = [b for b in around if b.order >= INSIDE_UNIT_OF_WORK]
        outside = [b for b in around if b.order < INSIDE_UNIT_OF_WORK]

        def make() -> Call:
            call = self._attempted(chain(self._built(inside), self._build(plan)), plan, inside)
            if self._transactions is not None:
                call = self._transactions.unit_around(call, request_type)
            return chain(self._built(outside), call)

        return Composed(_needs([plan, *_plans(around)]), make)

    def stream(self, request_type: type) -> Composed:
        """Return what opens the stream of *request_type*; behaviours stand around the opening.

        Raises:
            HandlerNotFoundError: nobody handles it, or by one answer only.
            AmbiguousHandlerError: two base classes with handlers are equally near.
        """
        plan = self._handler(request_type, stream=True)
        around = chosen(self._wiring.behaviours, Stage.REQUEST, request_type)
        plans = [plan, *_plans(around)]

        def make() -> Call:
            call = chain(self._built(around), self._build(plan))
            if self._scopes is None or not any(plan.scoped for plan in plans):
                return call
            return self._scopes.around_stream(call)

        return Composed(_needs(plans), make)

    def _handler(self, request_type: type, *, stream: bool) -> CallPlan:
        plan = self._wiring.handler_of(request_type)
        name = request_type.__name__
        if plan is None:
            raise HandlerNotFoundError(
                request_type,
                f"{_no_handler(request_type)} Register one that takes it, or include the table "
                f"that has it; is its module imported? (What is published goes to publish().)",
            ) from None
        if (plan.signature.kind is Kind.STREAM) is not stream:
            streams = (
                "streams its answer: use stream()" if not stream else "gives one answer: use send()"
            )
            raise HandlerNotFoundError(
                request_type, f"The handler of {name}, {plan.signature.name}, {streams}."
            ) from None
        return plan

    # ------------------------------------------------------------------------- publishing

    def publish(self, message_type: type, strategy: Strategy) -> Composed:
        """Return what hands a message to all who hear it.

        Raises:
            NotPublishableError: only durable subscribers take it.
            HandlerNotFoundError: nobody does, and that is to be an error.
        """
        listeners = self._wiring.listeners_of(message_type)
        around = chosen(self._wiring.behaviours, Stage.PUBLISH, message_type)
        each = chosen(self._wiring.behaviours, Stage.NOTIFICATION, message_type)
        if not listeners:
            return self._unheard_publish(message_type, around)
        bare = (
            len(listeners) == 1
            and not around
            and self._transactions is None
            and _own_strategy(listeners[0], strategy) is None
        )

        def make() -> Call:
            calls = [self._listener(listener, each, strategy) for listener in listeners]
            call = calls[0] if bare else self._together(strategy, calls)
            return chain(self._built(around), call)

        needs = _needs([*(listener.call for listener in listeners), *_plans(around), *_plans(each)])
        return Composed(needs, make, bare)

    def _listener(
        self, listener: ListenerPlan, behaviours: Sequence[BehaviourPlan], strategy: Strategy
    ) -> Call:
        name = listener.call.signature.name
        call = chain(self._built(behaviours), self._build(listener.call))
        call = self._attempted(call, listener.call, behaviours)
        if strategy in _TOGETHER:
            call = self._apart(call, [listener.call, *_plans(behaviours)])
        own = _own_strategy(listener, strategy)
        if own is None:
            return call
        if self._transactions is not None:
            call = self._transactions.own_unit(call)
        call = self._background.guarded(call, name)
        if own is Strategy.BACKGROUND:
            call = self._background.started(call)
        return self._transactions.after_commit(call) if self._transactions is not None else call

    def _together(self, strategy: Strategy, calls: Sequence[Call]) -> Call:
        if self._transactions is None:
            return run_together(strategy, calls)
        return self._transactions.publish_around(strategy, calls, parallel=strategy in _TOGETHER)

    def _unheard_publish(self, message_type: type, around: Sequence[BehaviourPlan]) -> Composed:
        if self._durable(message_type):
            raise NotPublishableError(message_type) from None
        problem = (
            f"Nobody hears {message_type.__name__}, which was published. Register a handler "
            f"with @….on, or don't publish it."
        )
        if self._unheard is Unheard.RAISE:
            raise HandlerNotFoundError(message_type, problem) from None

        async def nobody(_message: Any) -> None:
            if self._unheard is Unheard.WARN or message_type not in self._warned:
                self._warned.add(message_type)
                _log.warning(problem)

        return Composed(_needs(_plans(around)), lambda: chain(self._built(around), nobody))

    # ------------------------------------------------------------------------ deliveries

    def deliverer(self, registration: DeliveryRegistration) -> Deliverer:
        """Return what hands events to a durable handler; each in a request scope of its own."""
        plans = self._wiring.deliveries[registration]

        def compose(plan: DeliveryPlan, event_type: type) -> Call:
            around = chosen(self._wiring.behaviours, Stage.DELIVERY, event_type)
            call = chain(self._built(around), self._build(plan.call))
            return self._apart(call, [plan.call, *_plans(around)])

        def compose_list(plan: DeliveryPlan) -> Call:
            around = chosen_for_lists(self._wiring.behaviours, plan.patterns)
            call = chain(self._built(around), self._build(plan.call))
            return self._apart(call, [plan.call, *_plans(around)])

        return Deliverer(name_of(registration.target), plans, compose, compose_list)

    # ------------------------------------------------------------------------- composing

    def _apart(self, call: Call, plans: Iterable[CallPlan]) -> Call:
        """Return *call* so that the request scope its *plans* need, if any, is its own."""
        if self._scopes is None or not any(plan.scoped for plan in plans):
            return call
        return self._scopes.apart(call)

    def _attempted(self, call: Call, plan: CallPlan, behaviours: Iterable[BehaviourPlan]) -> Call:
        """Return *call* of *plan*, with *behaviours*, under the policy that *plan* may have."""
        policy = plan.policy
        if policy is None:
            return call
        # What was made for an attempt that failed must not reach the next.
        call = self._apart(call, [plan, *_plans(behaviours)])
        if self._transactions is None:
            return lambda message: policy.call(call, message)
        return self._transactions.attempts_of(call, policy, plan.signature.name)

    def _build(self, plan: CallPlan) -> AsyncFunction:
        return build(plan, self._constants, threads=self._threads, scopes=self._scopes)

    def _built(self, behaviours: Iterable[BehaviourPlan]) -> list[AsyncFunction]:
        return [self._build(behaviour.call) for behaviour in behaviours]


def _no_handler(request_type: type) -> str:
    if issubclass(request_type, type):
        return "A class was sent; send an instance of it."
    return f"No handler for {request_type.__name__}."


def _own_strategy(listener: ListenerPlan, strategy: Strategy) -> Strategy | None:
    """Return how *listener* runs if its failures don't reach the publisher, else None."""
    own = listener.strategy or strategy
    if own in (Strategy.ISOLATED, Strategy.BACKGROUND):
        return own
    return Strategy.ISOLATED if listener.after_commit else None


def _plans(behaviours: Iterable[BehaviourPlan]) -> list[CallPlan]:
    return [behaviour.call for behaviour in behaviours]


def _needs(plans: Iterable[CallPlan]) -> frozenset[Any]:
    return frozenset(key for plan in plans for key in plan.needs)
