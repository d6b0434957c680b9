"""How one type is written as JSON and read back."""

import typing
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from headwater.errors import MessageTypeError
from headwater.serialization.foreign import is_pydantic_class
from headwater.serialization.sameness import fields_of

ENCODER: Final = msgspec.json.Encoder()

ENCODE_ERRORS: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
"""What writing a value can raise; pydantic's errors are `ValueError`s."""

DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading bad text can raise."""


class Form(NamedTuple):
    """How a type is encoded, decoded, and encoded independently of the order of fields."""

    encode: Callable[[Any], bytes]
    decode: Callable[[str | bytes], Any]
    canonical: Callable[[Any], bytes]


def form_of(of: Any) -> Form:
    """Return the form of a type: a class, a union, a generic alias, None.

    Raises:
        MessageTypeError: values of the type can't be read back; says which field, and why.
    """
    if isinstance(of, type) and is_pydantic_class(of):
        return _pydantic_form(of)
    problem, error = _problem_of(of)
    if problem is not None:
        raise MessageTypeError(_explained(of, problem, frozenset())) from error
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(of)
    return Form(ENCODER.encode, decoder.decode, _canonical)


def _canonical(value: Any) -> bytes:
    # An encoder with an order takes no dicts with keys that aren't text; `to_builtins` does.
    return ENCODER.encode(msgspec.to_builtins(value, str_keys=True, order="sorted"))


def _problem_of(of: Any) -> tuple[str | None, Exception | None]:
    """Say why msgspec can't read values of a type back, None if it can."""
    try:
        msgspec.json.Decoder(of)
        custom = next(_custom_types(inspect.type_info(of), set()), None)
    except (TypeError, NameError, AttributeError, RecursionError) as error:
        return str(error), error
    if custom is not None:
        return f"{_name_of(custom)} has no JSON form that can be read", None
    return None, None


def _pydantic_form(cls: Any) -> Form:
    if not getattr(cls, "__pydantic_complete__", True):
        cls.model_rebuild(raise_errors=False)
    if not getattr(cls, "__pydantic_complete__", True):
        raise MessageTypeError(
            f"{_name_of(cls)} is not fully defined: one of its annotations names a class that "
            f"pydantic can't find. Define it first, or call {cls.__name__}.model_rebuild()."
        )

    def encode(value: Any) -> bytes:
        # "error": a value that does not have its field's type is refused, not written anyhow.
        model = value.__class__
        encoded: bytes = model.__pydantic_serializer__.to_json(
            value, by_alias=True, warnings="error"
        )
        return encoded

    def decode(text: str | bytes) -> Any:
        return cls.__pydantic_validator__.validate_json(text, strict=True)

    def canonical(value: Any) -> bytes:
        return _canonical(msgspec.json.decode(encode(value)))

    return Form(encode, decode, canonical)


def _custom_types(part: object, seen: set[type]) -> Iterator[Any]:
    """Find the types that msgspec takes without knowing how to read them."""
    if isinstance(part, inspect.CustomType):
        yield part.cls
    elif isinstance(part, tuple):
        for member in typing.cast("tuple[object, ...]", part):
            yield from _custom_types(member, seen)
    elif isinstance(part, inspect.Type | inspect.Field | inspect.TypedDictType):
        cls = getattr(part, "cls", None)
        if isinstance(part, inspect.StructType | inspect.DataclassType) and cls is not None:
            if cls in seen:
                return
            seen.add(cls)
        for name in type(part).__struct_fields__:
            if name not in {"default", "default_factory"}:
                yield from _custom_types(getattr(part, name), seen)


def _explained(of: Any, problem: str, above: frozenset[Any]) -> str:
    """Name the innermost field that has the problem, and what to do about it."""
    for field, annotation in _annotations(of):
        if annotation in above:
            continue
        inner, _ = _problem_of(annotation)
        if inner is not None:
            return f"{_name_of(of)}.{field}: {_explained(annotation, inner, above | {of})}"
    advice = _advice(problem)
    return f"{_name_of(of)}: values can't be read back from JSON: {problem}. {advice}"


def _annotations(of: Any) -> list[tuple[str, Any]]:
    if not isinstance(of, type) or fields_of(of) is None:
        return []
    try:
        hints = typing.get_type_hints(of, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return []
    return [(name, hints[name]) for name in fields_of(of) or () if name in hints]


def _advice(problem: str) -> str:
    if "must be tagged" in problem:
        return "Give each class of the union a tag: class Card(Value, tag=True)."
    if "is not defined" in problem:
        return "Its annotation names something that can't be found in its module."
    return "Use types such as str, int, Decimal, datetime, UUID, Enum, Value, tuple and dict."


def _name_of(of: Any) -> str:
    if of is None or of is NoneType:
        return "None"
    return of.__qualname__ if isinstance(of, type) else str(of)
