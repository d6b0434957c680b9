"""Decorators without a table: they mark, and `Handlers.scan` registers what is marked.

So a module of handlers needs no table to import, and a table can take a whole package.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from headwater.mediator.handlers import Handlers, check_own_strategy
from headwater.mediator.registrations import Stage, Strategy
from headwater.mediator.scanning import mark

T = TypeVar("T", bound=Callable[..., Any])


def handles(*, inline: bool = False) -> Callable[[T], T]:
    """Mark a handler of requests; see `Handlers.handler`."""

    def apply(table: Handlers, target: Any) -> None:
        table.handler(inline=inline)(target)

    return lambda target: mark(target, apply)


def hears(
    *,
    strategy: Strategy | None = None,
    after_commit: bool = False,
    order: int = 0,
    inline: bool = False,
) -> Callable[[T], T]:
    """Mark a handler of published messages; see `Handlers.on`.

    Raises:
        ConfigurationError: *strategy* says how several handlers run together.
    """
    check_own_strategy(strategy)

    def apply(table: Handlers, target: Any) -> None:
        table.on(strategy=strategy, after_commit=after_commit, order=order, inline=inline)(target)

    return lambda target: mark(target, apply)


def behaves(
    *,
    on: Any = None,
    when: Callable[[type], bool] | None = None,
    order: int | None = None,
    stage: Stage = Stage.REQUEST,
) -> Callable[[T], T]:
    """Mark a behaviour; see `Handlers.behaviour`."""

    def apply(table: Handlers, target: Any) -> None:
        table.behaviour(target, on=on, when=when, order=order, stage=stage)

    return lambda target: mark(target, apply)
