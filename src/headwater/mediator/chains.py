"""Chains of behaviours: chosen by message type, put in order, joined once."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from headwater.mediator.annotations import NamedMessages
from headwater.mediator.injection import CallPlan
from headwater.mediator.matching import is_protocol, stands_for
from headwater.mediator.registrations import Stage
from headwater.mediator.scopes import Call

M_contra = TypeVar("M_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

INSIDE_UNIT_OF_WORK: Final = 0
"""Behaviours of this order and above run again with the handler after a conflict."""

Around = Callable[[Any, Any], Coroutine[Any, Any, Any]]
"""A behaviour with its dependencies added: takes a message and what comes next."""


class Next(Protocol[M_contra, R_co]):
    """What a behaviour stands around: the next behaviour, or the handler."""

    def __call__(self, message: M_contra, /) -> Awaitable[R_co]:
        """Hand *message* on; await the outcome."""
        ...


class BehaviourPlan(msgspec.Struct, frozen=True, eq=False):
    """A behaviour, the messages it applies to, and its place among the others."""

    call: CallPlan
    named: NamedMessages
    when: Callable[[type], bool] | None
    stage: Stage
    order: int
    sequence: int

    @property
    def patterns(self) -> tuple[type, ...]:
        """The classes and Protocols of the messages that it stands around."""
        return self.named.classes

    def takes(self, *, many: bool) -> bool:
        """Return whether it can be given one message, or with *many* a list of them."""
        if object in self.named.classes:
            return True
        return self.named.many if many else self.named.single

    def applies_to(self, message_type: type) -> bool:
        """Return whether this stands around messages of exactly *message_type*."""
        return any(stands_for(pattern, message_type) for pattern in self.patterns) and (
            self.when is None or self.when(message_type)
        )

    def might_apply_to(self, pattern: type) -> bool:
        """Return whether a handler of *pattern* can get messages that this stands around."""
        if self.applies_to(pattern):
            return True
        # A base class or Protocol stands for types that nobody has seen yet.
        return (
            pattern is object
            or is_protocol(pattern)
            or any(not is_protocol(mine) and issubclass(mine, pattern) for mine in self.patterns)
        )


def chosen(
    behaviours: Iterable[BehaviourPlan], stage: Stage, message_type: type
) -> list[BehaviourPlan]:
    """Return those of *stage* that apply to *message_type*, outermost first."""
    return _ordered(
        b
        for b in behaviours
        if b.stage is stage and b.takes(many=False) and b.applies_to(message_type)
    )


def chosen_for_lists(
    behaviours: Iterable[BehaviourPlan], patterns: Sequence[type]
) -> list[BehaviourPlan]:
    """Return those around deliveries that take lists, and might apply to one of *patterns*."""
    return _ordered(
        b
        for b in behaviours
        if b.stage is Stage.DELIVERY
        and b.takes(many=True)
        and any(b.might_apply_to(pattern) for pattern in patterns)
    )


def _ordered(behaviours: Iterable[BehaviourPlan]) -> list[BehaviourPlan]:
    return sorted(behaviours, key=lambda behaviour: (behaviour.order, behaviour.sequence))


def chain(behaviours: Sequence[Around], call: Call) -> Call:
    """Return *call* with *behaviours* around it, the first one outermost."""
    for around in reversed(behaviours):
        call = _step(around, call)
    return call


def _step(around: Around, next: Call) -> Call:
    def step(message: Any) -> Coroutine[Any, Any, Any]:
        return around(message, next)

    return step
