"""Annotations: the message classes that one names, and how it is shown to people."""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from headwater.mediator.matching import is_protocol, is_runtime_protocol
from headwater.metadata import Recorded


class NamedMessages(msgspec.Struct, frozen=True):
    """The message classes and Protocols that an annotation names, ``object`` for any.

    `recorded`: it asks for them as `Recorded`. `single`: it takes one at a time; `many`: it takes
    a list of them.
    """

    classes: tuple[type, ...] = ()
    recorded: bool = False
    single: bool = True
    many: bool = False


def messages_in(annotation: Any) -> tuple[tuple[type, ...], bool]:
    """Return the message classes that *annotation* names, and whether it wraps in `Recorded`.

    Raises:
        ValueError: it names something that can't be one message; the text continues a sentence.
    """
    named = named_messages(annotation)
    if named.many:
        raise ValueError("which is a list")
    return named.classes, named.recorded


def named_messages(annotation: Any) -> NamedMessages:
    """Return the messages that *annotation* names, one or a list of them.

    Raises:
        ValueError: it names something that can't be a message; the text continues a sentence.
    """
    found: list[type] = []
    wrapped: set[bool] = set()
    many: set[bool] = set()
    for part in _parts(annotation):
        is_list = get_origin(part) in (list, Sequence)
        many.add(is_list)
        for member in _parts(get_args(part)[0]) if is_list else (part,):
            recorded = get_origin(member) is Recorded or member is Recorded
            wrapped.add(recorded)
            inner = [member]
            if recorded:
                inner = list(_parts(get_args(member)[0])) if get_args(member) else [object]
            found += [_message_class(candidate) for candidate in inner]
    if len(wrapped) > 1:
        raise ValueError("which mixes Recorded[…] with bare messages")
    return NamedMessages(
        tuple(dict.fromkeys(found)), wrapped == {True}, False in many, True in many
    )


def _message_class(candidate: Any) -> type:
    origin = get_origin(candidate) or candidate
    if origin is object or origin is Any:
        return object
    if not isinstance(origin, type) or origin.__module__ == "builtins":
        raise ValueError("which is no message class")
    if is_protocol(origin) and not is_runtime_protocol(origin):
        raise ValueError(f"but {origin.__name__} is a Protocol without @runtime_checkable")
    return origin


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, without Annotated, aliases and type variables."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin is Union or origin is types.UnionType:
        for member in get_args(annotation):
            yield from _parts(member)
    elif isinstance(annotation, TypeVar):
        if annotation.__constraints__:
            for member in annotation.__constraints__:
                yield from _parts(member)
        else:
            yield from _parts(annotation.__bound__ or object)
    elif type(annotation).__name__ == "TypeAliasType":
        yield from _parts(annotation.__value__)
    else:
        yield annotation


def show(annotation: Any) -> str:
    """Return *annotation* as it stands in code, more or less."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
