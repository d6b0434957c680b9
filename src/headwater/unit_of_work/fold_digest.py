"""The digest of what folds a stream: of its code, and of the forms of its state and events."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import partial
from hashlib import blake2b
from inspect import unwrap
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, cast

import msgspec

from headwater.serialization.codec import EventCodec
from headwater.serialization.contract.schemas import schema_of
from headwater.serialization.foreign import (
    is_pydantic_class,
    is_pydantic_model,
    is_record_class,
)
from headwater.serialization.sameness import fields_of

_DIGEST_BYTES: Final = 8
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def fold_digest(
    state_type: Any,
    first: object,
    *,
    events: Iterable[type],
    functions: Iterable[Callable[..., Any]],
    codec: EventCodec,
) -> str:
    """Return what changes when a stream may fold to another state than before.

    That is: the form of *state_type*, the state *first* before all events, the forms and schema
    versions of *events* and of those derived from them, their upcasters, and *functions* with
    what they are given from around them. Not what these call by a global name, nor a default
    that a factory of the user's makes. It is the same in every process that runs the same code
    on the same version of Python and knows the same events.
    """
    events = tuple(events)
    parts = [
        _form_text(state_type),
        _text_of(first),
        *sorted(_event_texts(events, codec)),
        *_upcaster_texts(events, codec),
        *map(_text_of, functions),
    ]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def code_digest(target: Any) -> str:
    """Return what changes when a function changes, or a method that a class defines itself.

    What is called by it does not count, nor what it is given from around it.
    """
    members = vars(target).values() if isinstance(target, type) else (target,)
    functions = [unwrap(each) for each in members if callable(each)]
    codes = [each.__code__ for each in functions if isinstance(each, FunctionType)]
    return blake2b(_text_of(codes).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _event_texts(events: Sequence[type], codec: EventCodec) -> Iterator[str]:
    registry = codec.registry
    names = frozenset[str]().union(*map(registry.names_of, events))
    entries = [entry for name in names if (entry := registry.entry_named(name)) is not None]
    for entry in entries:
        yield f"{entry.name} {entry.version} {_form_text(entry.cls)}"
    for cls in {*events} - {entry.cls for entry in entries}:
        yield f"{cls.__qualname__} {_form_text(cls) if is_record_class(cls) else ''}"


def _form_text(of: Any) -> str:
    """Return the JSON schema of a type with all that is inside it, and with defaults."""
    if isinstance(of, type) and is_pydantic_class(of):
        schema = schema_of(of)
    else:
        schema = schema_of(msgspec.defstruct("Whole", [("whole", of)]))
    name = _ADDRESS.sub("", repr(of))
    return f"{name} {msgspec.json.encode(schema, order='sorted').decode()}"


def _upcaster_texts(events: Iterable[type], codec: EventCodec) -> list[str]:
    """Return a text for each upcaster that may make or drop some of *events*."""
    steps = codec.chains.steps.values()
    if not steps:
        return []
    names = frozenset[str]().union(*(codec.stored_names(event) for event in events))
    return sorted(
        f"{step.source} {step.targets} {step.change} {_text_of(step.upcast)}"
        for step in steps
        if step.source.name in names or not step.targets
    )


def _text_of(value: object, around: tuple[object, ...] = ()) -> str:
    """Return a text of a function or a constant that is the same in every process."""
    if any(value is each for each in around):
        return "itself"
    around = (*around, value)

    def texts(values: Iterable[object]) -> str:
        return ",".join([_text_of(each, around) for each in values])

    if isinstance(value, CodeType):
        code = f"{value.co_code.hex()} {value.co_exceptiontable.hex()} {value.co_names}"
        return f"{value.co_name}{code}({texts(value.co_consts)})"
    if isinstance(value, FunctionType):
        given = (value.__code__, value.__defaults__, value.__kwdefaults__, *_closure_of(value))
        return f"function({texts(given)})"
    if isinstance(value, MethodType):
        return f"method({texts((value.__func__, value.__self__))})"
    if isinstance(value, partial):
        called = cast("Any", value)
        return f"partial({texts((called.func, called.args, called.keywords))})"
    if isinstance(value, AbstractSet):
        members = sorted(texts((each,)) for each in cast("AbstractSet[object]", value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, tuple | list | deque):
        return f"({texts(cast('Iterable[object]', value))})"
    if isinstance(value, Mapping):
        return f"{{{texts(cast('Mapping[object, object]', value).items())}}}"
    # What the repr of these shows of a set is in the order of its hashes.
    parts = _parts_of(value)
    if parts is not None:
        return f"{type(value).__qualname__}({texts(parts)})"
    # Members of a set are sorted by it: an address is another one in every process.
    return _ADDRESS.sub("", repr(value))


def _parts_of(value: object) -> Iterable[object] | None:
    """Return what an enum's member or a record holds, None if *value* is neither."""
    if isinstance(value, type):
        return None
    if isinstance(value, Enum):
        return value.name, value.value
    kind: type[Any] = type(value)
    if is_pydantic_model(kind):
        model: Any = value
        return model.__dict__, model.__pydantic_extra__, model.__pydantic_private__
    names = fields_of(kind)
    if names is None:
        return None
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def _closure_of(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # what it names does not exist yet
            yield None
