"""Decorators without a table: they mark, and `Handlers.scan` registers what is marked.

So a module of handlers needs no table to import, and a table can take a whole package.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from headwater.mediator.handlers import Handlers, call_site, check_own_strategy
from headwater.mediator.registrations import (
    BehaviourRegistration,
    HandlerRegistration,
    ListenerRegistration,
    Stage,
    Strategy,
)
from headwater.mediator.scanning import mark
from headwater.resilience import Guard

T = TypeVar("T", bound=Callable[..., Any])


def handles(*, policy: Guard | None = None, inline: bool = False) -> Callable[[T], T]:
    """Mark a handler of requests; see `Handlers.handler`."""

    site = call_site()

    def apply(table: Handlers, target: Any) -> None:
        table.handlers.append(HandlerRegistration(target, site, inline, policy))

    return lambda target: mark(target, apply)


def hears(
    *,
    strategy: Strategy | None = None,
    after_commit: bool = False,
    order: int = 0,
    policy: Guard | None = None,
    inline: bool = False,
) -> Callable[[T], T]:
    """Mark a handler of published messages; see `Handlers.on`.

    Raises:
        ConfigurationError: *strategy* says how several handlers run together.
    """
    check_own_strategy(strategy)
    site = call_site()

    def apply(table: Handlers, target: Any) -> None:
        table.listeners.append(
            ListenerRegistration(target, site, strategy, after_commit, order, inline, policy=policy)
        )

    return lambda target: mark(target, apply)


def behaves(
    *,
    on: Any = None,
    when: Callable[[type], bool] | None = None,
    order: int = 0,
    stage: Stage = Stage.REQUEST,
) -> Callable[[T], T]:
    """Mark a behaviour; see `Handlers.behaviour`."""
    site = call_site()

    def apply(table: Handlers, target: Any) -> None:
        table.behaviours.append(BehaviourRegistration(target, site, on, when, order, stage))

    return lambda target: mark(target, apply)
