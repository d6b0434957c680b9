"""Planning: what one registration says, read and compiled to call plans."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from headwater.errors import WiringFault
from headwater.mediator.annotations import NamedMessages, named_messages, show
from headwater.mediator.chains import BehaviourPlan
from headwater.mediator.deliveries import DeliveryPlan
from headwater.mediator.injection import CallPlan, Injector
from headwater.mediator.matching import stands_for
from headwater.mediator.policies import wrong_policy
from headwater.mediator.registrations import (
    BehaviourRegistration,
    DeliveryRegistration,
    HandlerRegistration,
    ListenerRegistration,
    Strategy,
)
from headwater.mediator.signatures import Kind, Signature, name_of, read_signature, where_of
from headwater.resilience import Guard, Policy
from headwater.resilience.guards import is_hidden_in, taken_off


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


class Planner:
    """Plans registrations with *injector*; what is wrong with them is added to *faults*."""

    def __init__(self, injector: Injector, faults: list[WiringFault]) -> None:
        self._injector = injector
        self._faults = faults
        self._sequence = 0
        self._policies: dict[tuple[int, ...], Policy] = {}

    def handler(
        self, registration: HandlerRegistration
    ) -> Iterator[tuple[Signature, CallPlan | None]]:
        """Yield each signature with its plan, None if something in it can't be resolved."""
        for owner, signature in self._signatures(registration.target, registration.site):
            plan = self._plan(
                signature, owner, inline=registration.inline, policy=registration.policy
            )
            yield signature, plan

    def listener(self, registration: ListenerRegistration) -> list[ListenerPlan]:
        """Return the plans of a handler of published messages."""
        plans: list[ListenerPlan] = []
        signatures = self._signatures(
            registration.target, registration.site, messages=registration.messages
        )
        for owner, signature in signatures:
            problem = only_for_subscribers(signature)
            if signature.kind is Kind.STREAM:
                problem = "is an async generator, and nobody reads it"
            if problem is not None:
                self.fault(
                    signature,
                    f"{signature.name} {problem}.",
                    "Take the bare message and return nothing.",
                )
                continue
            plan = self._plan(
                signature, owner, inline=registration.inline, policy=registration.policy
            )
            if plan is not None:
                self._sequence += 1
                plans.append(
                    ListenerPlan(
                        plan,
                        signature.messages,
                        registration.strategy,
                        registration.after_commit,
                        registration.order,
                        self._sequence,
                    )
                )
        return plans

    def delivery(self, registration: DeliveryRegistration) -> list[DeliveryPlan]:
        """Return the plans of a durable handler of events."""
        plans: list[DeliveryPlan] = []
        signatures = list(self._signatures(registration.target, registration.site))
        for owner, signature in signatures:
            if signature.kind is Kind.STREAM:
                problem = f"{signature.name} is an async generator, and nobody reads it."
                self.fault(signature, problem, "Return nothing.")
                continue
            if signature.named.many and (signature.named.single or len(signatures) > 1):
                self.fault(
                    signature,
                    f"{signature.name} takes a list of events, and "
                    + (
                        "single ones too."
                        if signature.named.single
                        else "is not the only method of its class, so events would lose their "
                        "order."
                    ),
                    "Let one method take them all: list[First | Second].",
                )
                continue
            plan = self._plan(
                signature, owner, inline=registration.inline, policy=registration.policy
            )
            if plan is not None:
                named = signature.named
                plans.append(DeliveryPlan(plan, named.classes, named.recorded, named.many))
        return plans

    def behaviour(self, registration: BehaviourRegistration) -> BehaviourPlan | None:
        """Return the plan of a behaviour, None if something is wrong with it."""
        owner, target = None, registration.target
        if inspect.isclass(target):
            owner, target = target, target.__call__
        signature = read_signature(
            target, self._faults, leading=2, where=registration.site, method=owner is not None
        )
        if signature is None:
            return None
        if signature.kind is not Kind.ASYNC:
            self.fault(signature, f"behaviour {signature.name} is no 'async def'.", "Make it one.")
            return None
        plan = self._plan(signature, owner)
        named = self._named(registration, signature)
        if plan is None or named is None:
            return None
        self._sequence += 1
        when = registration.when or getattr(registration.target, "applies_to", None)
        return BehaviourPlan(
            plan, named, when, registration.stage, registration.order, self._sequence
        )

    def fault(self, signature: Signature, problem: str, advice: str) -> None:
        """Note that something is wrong with what *signature* was read from."""
        self._faults.append(WiringFault(problem, where=signature.where, advice=advice))

    def _named(
        self, registration: BehaviourRegistration, signature: Signature
    ) -> NamedMessages | None:
        if registration.on is None:
            return signature.named
        try:
            return named_messages(registration.on)
        except ValueError as error:
            self.fault(
                signature,
                f"behaviour {signature.name} stands on {show(registration.on)}, {error}.",
                "Name message classes, a union of them, or a runtime Protocol.",
            )
            return None

    def _plan(
        self,
        signature: Signature,
        owner: type | None,
        *,
        inline: bool = False,
        policy: Guard | None = None,
    ) -> CallPlan | None:
        if policy is not None:
            wrong = wrong_policy(policy, signature)
            if wrong is not None:
                self.fault(signature, *wrong)
                return None
        # What it was decorated with is a policy too: each attempt in a unit of work of its own.
        guards, inner = taken_off(signature.target)
        if is_hidden_in(inner):
            self.fault(
                signature,
                f"{signature.name} is decorated with a policy that stands under another decorator, "
                f"so its attempts would share one unit of work.",
                "Put the policy outermost, or give it as policy=….",
            )
            return None
        signature = msgspec.structs.replace(signature, target=inner)
        plan = self._injector.plan(signature, self._faults, owner=owner, inline=inline)
        if plan is None:
            return None
        around = (policy, *guards) if policy is not None else guards
        return msgspec.structs.replace(plan, policy=self._policy(around)) if around else plan

    def _policy(self, guards: Sequence[Guard]) -> Guard:
        """Return *guards* as one; the same again for several methods of a handler."""
        if len(guards) == 1:
            return guards[0]
        key = tuple(id(guard) for guard in guards)
        return self._policies.setdefault(key, Policy(*guards))

    def _signatures(
        self, target: Any, site: str, messages: tuple[type, ...] = ()
    ) -> Iterator[tuple[type | None, Signature]]:
        """Yield the signature of a function, or of each ``handle…`` method of a class."""
        if not inspect.isclass(target):
            leading = read_signature(target, self._faults, where=site, messages=messages)
            if leading is not None:
                yield None, leading
            return
        methods = [
            (name, method)
            for name, method in inspect.getmembers(target, callable)
            if name.startswith("handle")
        ]
        if not methods:
            self._faults.append(
                WiringFault(
                    f"class {name_of(target)} has no method whose name starts with 'handle'.",
                    where=where_of(target) or site,
                    advice="Give it one for each message it handles.",
                )
            )
        for name, method in sorted(methods, key=lambda found: _line_of(found[1])):
            # A static or class method needs no object of the class.
            of_object = inspect.isfunction(inspect.getattr_static(target, name))
            signature = read_signature(
                method, self._faults, where=site, method=of_object, messages=messages
            )
            if signature is not None:
                yield target if of_object else None, signature


def only_for_subscribers(signature: Signature) -> str | None:
    """Return what *signature* asks for that nobody but a durable subscriber gets, None: nothing."""
    if signature.named.recorded:
        return "asks for Recorded[…], which only durable subscribers get"
    return "takes a list, which only durable subscribers get" if signature.named.many else None


def _line_of(method: Any) -> int:
    code = getattr(inspect.unwrap(method), "__code__", None)
    return code.co_firstlineno if code is not None else 0
