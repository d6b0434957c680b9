"""Finds the marks of personal fields in annotations."""

import typing
from collections import abc
from types import GetSetDescriptorType, NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from headwater.errors import MessageTypeError
from headwater.serialization.foreign import is_pydantic_model
from headwater.serialization.personal.marks import Personal, Subject
from headwater.serialization.sameness import ATOMS, fields_of

T = TypeVar("T")

ARRAYS: Final = frozenset(
    {list, tuple, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet}
    | {abc.Collection}
)
MAPPINGS: Final = frozenset({dict, abc.Mapping, abc.MutableMapping})


def bare(annotation: Any) -> Any:
    """Return *annotation* without Annotated, NewType and type aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def is_union(annotation: Any) -> bool:
    """Return whether *annotation* is a union, in either notation."""
    return get_origin(annotation) in (Union, UnionType)


def members_of(annotation: Any) -> list[Any]:
    """Return the bare members of a union, or the one type that *annotation* is."""
    kind = bare(annotation)
    return [bare(arg) for arg in get_args(kind)] if is_union(kind) else [kind]


def mark_of(annotation: Any) -> Personal | None:
    """Return the mark that stands on *annotation* itself; ``| None`` may stand around it."""
    found = _metadata(annotation, Personal)
    if found is not None:
        return found
    kind = bare(annotation)
    if is_union(kind):
        members = [arg for arg in get_args(kind) if arg is not NoneType]
        if len(members) == 1:
            return mark_of(members[0])
    return None


def is_marked(annotation: Any) -> bool:
    """Return whether a mark stands anywhere in *annotation*, or in the records it is made of."""
    return _is_marked(annotation, set())


def holds_personal(value: object) -> bool:
    """Return whether a value of a class with marks stands anywhere in *value*."""
    ahead: list[Any] = [value]
    seen: set[int] = set()
    while ahead:
        part = ahead.pop()
        kind = part.__class__
        if kind in ATOMS or id(part) in seen:
            continue
        seen.add(id(part))
        if is_marked(kind):
            return True
        if isinstance(part, abc.Mapping):
            ahead += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            ahead += [*part]
        else:
            names = tuple(part.__dict__) if is_pydantic_model(kind) else fields_of(kind) or ()
            ahead += [getattr(part, name, None) for name in names]
    return False


def subject_field(cls: type, hints: abc.Mapping[str, Any], named: str | None, where: str) -> str:
    """Return the name of the field that says whose *where* is: *named*, or the marked one.

    Raises:
        MessageTypeError: none is named, and not exactly one field is marked with `Subject`.
    """
    if named is not None:
        return named
    marked = [name for name, hint in hints.items() if _metadata(hint, Subject) is not None]
    if len(marked) != 1:
        raise MessageTypeError(
            f"{where} is personal, but does not say whose: {len(marked)} fields of "
            f"{cls.__qualname__} are marked with Subject(). Name one: Personal(subject='…')."
        )
    return marked[0]


def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotations of a class or generic alias, type variables replaced."""
    cls: Any = get_origin(kind) or kind
    fields: abc.Mapping[str, Any] | None = getattr(cls, "__pydantic_fields__", None)
    if fields is not None:
        return {name: _of_pydantic(field) for name, field in fields.items()}
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
    replaced = _variables(kind)
    return {name: _replaced(hint, replaced) for name, hint in hints.items()}


def _of_pydantic(field: Any) -> Any:
    # Pydantic takes the outermost Annotated apart.
    annotation: Any = field.annotation
    for metadata in field.metadata:
        annotation = Annotated[annotation, metadata]
    return annotation


def _metadata(annotation: Any, kind: type[T]) -> T | None:
    while True:
        if get_origin(annotation) is Annotated:
            for each in annotation.__metadata__:
                if isinstance(each, kind):
                    return each
                if each is kind:
                    return kind()
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return None


def _is_marked(annotation: Any, seen: set[Any]) -> bool:
    if _metadata(annotation, Personal) is not None:
        return True
    kind = bare(annotation)
    if any(_is_marked(arg, seen) for arg in get_args(kind)):
        return True
    if is_union(kind):
        return False
    cls = get_origin(kind) or kind
    if not isinstance(cls, type) or cls.__module__ in ("builtins", "typing") or kind in seen:
        return False
    seen.add(kind)
    return any(_is_marked(hint, seen) for hint in hints_of(kind).values())


def _variables(kind: Any) -> dict[Any, Any]:
    """Return what the type variables of a generic alias and of its bases stand for."""
    cls: Any = get_origin(kind) or kind
    found: dict[Any, Any] = dict(zip(_parameters(cls), get_args(kind), strict=False))
    bases: tuple[Any, ...] = cls.__mro__ if isinstance(cls, type) else ()
    for base in bases:
        aliases: Any = base.__dict__.get("__orig_bases__", ())
        for alias in aliases:
            for variable, arg in zip(_parameters(get_origin(alias)), get_args(alias), strict=False):
                found.setdefault(variable, found.get(arg, arg))
    return found


def _parameters(of: Any) -> tuple[Any, ...]:
    # Of the class that unions are made of it is a descriptor.
    parameters: tuple[Any, ...] | GetSetDescriptorType = getattr(of, "__parameters__", ())
    return () if isinstance(parameters, GetSetDescriptorType) else parameters


def _replaced(hint: Any, variables: abc.Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return variables.get(hint, hint)
    parameters = _parameters(hint)
    if not parameters or not variables or isinstance(hint, type):
        return hint
    return hint[tuple(variables.get(one, one) for one in parameters)]
