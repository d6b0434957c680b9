"""What a mediator gives to handlers by itself, and brings to request scopes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args, get_origin

from headwater.domain.aggregate import Aggregate
from headwater.domain.read_model import ReadModel
from headwater.mediator.injection import Constant, FromMessage, Injector
from headwater.mediator.scopes import Scopes
from headwater.mediator.transactions import current_unit
from headwater.metadata import MessageContext, current_context, root_context
from headwater.ports.container import Container, Scope
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork


def context_value(annotation: Any) -> Callable[[], Any] | None:
    """Resolve the context of the current message; a new one where there is none."""
    return _context_or_new if annotation is MessageContext else None


def unit_values(annotation: Any) -> Callable[[], Any] | None:
    """Resolve what the current unit of work gives: itself, repositories, collections."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is UnitOfWork:
        return current_unit
    wanted = {Repository: Aggregate, Collection: ReadModel}.get(origin)
    if wanted is None or not (isinstance(arguments[0], type) and issubclass(arguments[0], wanted)):
        return None
    if origin is Repository:
        return lambda: current_unit().repository(arguments[0])
    return lambda: current_unit().collection(arguments[0])


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
