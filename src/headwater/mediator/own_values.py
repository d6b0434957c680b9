"""What a mediator gives to handlers by itself, and brings to request scopes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headwater.mediator.injection import Constant, FromMessage, Injector
from headwater.mediator.scopes import Scopes
from headwater.metadata import MessageContext, current_context, root_context
from headwater.ports.container import Container, Scope
from headwater.unit_of_work.unit import CURRENT_UNIT


def context_value(annotation: Any) -> Callable[[], Any] | None:
    """Resolve the context of the current message; a new one where there is none."""
    return _context_or_new if annotation is MessageContext else None


def _context_or_new() -> MessageContext:
    return current_context() or root_context()


def scopes_of(
    container: Container | None, injector: Injector, brought: Sequence[Any]
) -> Scopes | None:
    """Return how request scopes open; of what is *brought*, they get what somebody there takes."""
    if container is None:
        return None
    values: dict[Any, Callable[[], Any]] = {}
    for key in brought:
        wanted = container.find(key)
        source = injector.find(key)
        if wanted is None or wanted.scope is not Scope.REQUEST:
            continue
        if isinstance(source, FromMessage):
            values[key] = source.give
        elif isinstance(source, Constant):
            values[key] = partial(_same, source.value)
    return Scopes(container, values, CURRENT_UNIT.get)


def _same(value: Any) -> Any:
    return value
