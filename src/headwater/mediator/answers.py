"""Answers: whether what a handler says it returns is what its request asks for."""

import inspect
import types
from collections.abc import Iterable
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from headwater.mediator.annotations import show
from headwater.mediator.matching import is_protocol
from headwater.mediator.responses import response_type_of
from headwater.mediator.signatures import Kind, Signature, function_of

_PROMOTED: Final = {(int, float), (int, complex), (float, complex)}
"""What type checkers take for one another (PEP 484, "The numeric tower")."""


def wrong_answer(signature: Signature, request_type: type) -> str | None:
    """Return what is wrong with the return annotation, None if it fits or can't be judged.

    Classes and unions of classes are judged, generics by their class alone.
    """
    if signature.kind is Kind.STREAM:
        return None
    function = inspect.unwrap(function_of(signature.target))
    if "return" not in getattr(function, "__annotations__", {}):
        return None
    try:
        said = get_type_hints(function)["return"]
    except Exception:  # noqa: BLE001 - evaluating somebody's text can raise anything
        return None
    wanted = response_type_of(request_type)
    given, asked = _classes(said), _classes(wanted)
    if given is None or asked is None:
        return None
    # What answers several requests may say the union of all answers.
    enough = all if len(signature.messages) == 1 else any
    if enough(_fits(cls, asked) for cls in given):
        return None
    return (
        f"{signature.name} returns {_shown(said)}, but {request_type.__name__} asks for "
        f"{_shown(wanted)}"
    )


def _shown(annotation: Any) -> str:
    return "None" if annotation in (None, types.NoneType) else show(annotation)


def _fits(given: type, asked: Iterable[type]) -> bool:
    return any(issubclass(given, cls) or (given, cls) in _PROMOTED for cls in asked)


def _classes(annotation: Any) -> list[type] | None:
    """Return the classes of *annotation*, None if it names anything that can't be compared."""
    if annotation is None:
        return [types.NoneType]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _classes(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        members = [_classes(member) for member in get_args(annotation)]
        return None if None in members else [cls for found in members for cls in found or ()]
    cls = origin or annotation
    if not isinstance(cls, type) or cls in (object, Any) or is_protocol(cls):
        return None
    return [cls]
