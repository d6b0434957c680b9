"""The response type of a request class."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from headwater.messages import Command, Query, Request

_SAY_IT = (Command, Query, Request)


def response_type_of(request_type: type) -> Any:
    """Return ``R`` of the ``Request[R]`` that *request_type* is; ``Any`` if it names none."""
    found = _stated(request_type, {})
    return Any if isinstance(found, TypeVar) else found


def _stated(base: Any, known: Mapping[Any, Any]) -> Any:
    """Look for ``R`` in *base*, a class or ``Class[arguments]``, given its type variables."""
    cls = get_origin(base) or base
    arguments = tuple(_filled(argument, known) for argument in get_args(base))
    if cls in _SAY_IT:
        return arguments[0] if arguments else Any
    inside = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    bases: tuple[Any, ...] = cls.__dict__.get("__orig_bases__", cls.__bases__)
    for inner in bases:
        inner_cls: Any = get_origin(inner) or inner
        if isinstance(inner_cls, type) and issubclass(inner_cls, Request):
            return _stated(inner, inside)
    return Any


def _filled(argument: Any, known: Mapping[Any, Any]) -> Any:
    """Return *argument* with the type variables in it replaced by what is *known* of them."""
    if isinstance(argument, TypeVar):
        return known.get(argument, argument)
    parameters = getattr(argument, "__parameters__", ())
    if parameters and not isinstance(argument, type):
        return argument[tuple(known.get(parameter, Any) for parameter in parameters)]
    return argument
