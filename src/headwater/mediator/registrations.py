"""What a table of handlers remembers, until a mediator compiles it."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from headwater.resilience import Guard


class Strategy(Enum):
    """How a publish runs its handlers, and what it does when they fail.

    Failures reach the publisher as one `ExceptionGroup`, also when there is only one.
    """

    PARALLEL = "parallel"
    """Run all at once, wait for all."""

    SEQUENTIAL = "sequential"
    """Run one after another in their order; a failure does not stop the others."""

    STOP_ON_FAILURE = "stop on failure"
    """Run one after another in their order; after a failure the others don't run."""

    CANCEL_SIBLINGS = "cancel siblings"
    """Run all at once; a failure cancels the others."""

    ISOLATED = "isolated"
    """Run all at once, wait for all; failures are logged and reported, the publisher sees none."""

    BACKGROUND = "background"
    """Return at once; the mediator owns the tasks, reports failures and drains at `aclose`."""


class Stage(Enum):
    """What a behaviour stands around."""

    REQUEST = "request"
    """The handling of each request that is sent; the opening of each stream."""

    PUBLISH = "publish"
    """A whole publish, all handlers together."""

    NOTIFICATION = "notification"
    """Each handler of a published message alone."""

    DELIVERY = "delivery"
    """Each delivery of an event to a durable subscriber."""


class HandlerRegistration(msgspec.Struct, frozen=True, eq=False):
    """A function, or a class with ``handle…`` methods, that answers requests."""

    target: Any
    site: str
    inline: bool = False
    policy: Guard | None = None


class ListenerRegistration(msgspec.Struct, frozen=True, eq=False):
    """A function, or a class with ``handle…`` methods, that hears what is published.

    `messages` replaces what the annotation says, if given.
    """

    target: Any
    site: str
    strategy: Strategy | None = None
    after_commit: bool = False
    order: int = 0
    inline: bool = False
    messages: tuple[type, ...] = ()
    policy: Guard | None = None


class DeliveryRegistration(msgspec.Struct, frozen=True, eq=False):
    """A function, or a class with ``handle…`` methods, that gets events from the log."""

    target: Any
    site: str
    inline: bool = False
    policy: Guard | None = None


class BehaviourRegistration(msgspec.Struct, frozen=True, eq=False):
    """Something that stands around handlers."""

    target: Any
    site: str
    on: Any = None
    when: Callable[[type], bool] | None = None
    order: int = 0
    stage: Stage = Stage.REQUEST


class ExpectedRequest(msgspec.Struct, frozen=True, eq=False):
    """A request type that must have a handler."""

    request_type: type
    site: str
