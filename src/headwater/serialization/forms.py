"""How one type is written as JSON and read back."""

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from headwater.errors import MessageTypeError
from headwater.serialization.foreign import is_pydantic_class
from headwater.serialization.personal.plans import plan_of
from headwater.serialization.sameness import fields_of, same, stored_names

ENCODER: Final = msgspec.json.Encoder()
_SORTED: Final = msgspec.json.Encoder(order="sorted")

ENCODE_ERRORS: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
"""What writing a value can raise; pydantic's errors are `ValueError`s."""

DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading bad text can raise."""


_SETS: Final = (inspect.SetType, inspect.FrozenSetType)


class Form(NamedTuple):
    """How a type is encoded, decoded, and encoded independently of the order of fields.

    What `encode` returns depends on the value alone. Sets are therefore written in the order of
    their members' text: that of their hashes is another one in each process, and the same
    append from there would look like another.

    `mark` takes what is encoded, and the ids that are known around it, and packs the personal
    parts in parcels; it is None for a type without personal fields.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[str | bytes], Any]
    canonical: Callable[[Any], bytes]
    mark: Callable[[bytes, Mapping[str, str]], bytes] | None = None


def form_of(of: Any, *, around: tuple[str, ...] = ()) -> Form:
    """Return the form of a type: a class, a union, a generic alias, None.

    Personal fields may be of a subject whose id is not in it, but known under a name in *around*.

    Raises:
        MessageTypeError: values of the type can't be read back, or a mark of a personal field
            is wrong; says which field, and why.
    """
    form = _plain_form_of(of)
    plan = plan_of(of, placeholder=_placeholder, around=around)
    return form if plan is None else form._replace(mark=plan.mark)


def _plain_form_of(of: Any) -> Form:
    if isinstance(of, type) and is_pydantic_class(of):
        return _pydantic_form(of)
    problem, error = _problem_of(of)
    if problem is not None:
        raise MessageTypeError(_explained(of, problem, frozenset())) from error
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(of)
    if any(isinstance(part, _SETS) for part in _parts(inspect.type_info(of), set())):
        return _form_with_sets(_plain, decoder.decode)
    return Form(ENCODER.encode, decoder.decode, _canonical)


def _plain(value: Any) -> Any:
    # An encoder with an order takes no dicts with keys that aren't text; `to_builtins` does.
    return msgspec.to_builtins(value, str_keys=True)


def _canonical(value: Any) -> bytes:
    return _SORTED.encode(_plain(value))


def _form_with_sets(plain_of: Callable[[Any], Any], decode: Callable[[str | bytes], Any]) -> Form:
    # An encoder with an order would do for strings and numbers only: it compares the members,
    # which enums, records and mixed types don't support, and of sets it means subsets.
    def encode(value: Any) -> bytes:
        return ENCODER.encode(with_ordered_sets(value, plain_of(value)))

    def canonical(value: Any) -> bytes:
        return _SORTED.encode(with_ordered_sets(value, plain_of(value)))

    return Form(encode, decode, canonical)


def with_ordered_sets(value: object, plain: object) -> Any:
    """Sort in *plain*, the JSON form of *value*, what stands for the members of sets."""
    if isinstance(plain, list | tuple):
        shown = typing.cast("Sequence[Any]", plain)
        members = _members(value)
        if len(members) != len(shown):
            return shown
        ordered: list[Any] = [*map(with_ordered_sets, members, shown)]
        if isinstance(value, set | frozenset):
            ordered.sort(key=_SORTED.encode)
        return ordered
    if isinstance(plain, dict):
        entries = typing.cast("dict[str, Any]", plain)
        for name, part in _entries(value, entries):
            if name in entries:
                entries[name] = with_ordered_sets(part, entries[name])
        return entries
    return plain


def _members(value: object) -> Sequence[object]:
    """Return what an array in JSON stands for, one by one."""
    if not isinstance(value, msgspec.Struct):
        arrays = list, tuple, set, frozenset
        return [*typing.cast("Iterable[object]", value)] if isinstance(value, arrays) else []
    tag = [value.__struct_config__.tag] if value.__struct_config__.tag is not None else []
    return [*tag, *(getattr(value, name) for name in value.__struct_fields__)]


def _entries(value: object, plain: Iterable[str]) -> Iterable[tuple[str, object]]:
    """Return what the entries of an object in JSON stand for, by their names there."""
    if isinstance(value, Mapping):
        return zip(plain, typing.cast("Mapping[object, object]", value).values(), strict=False)
    return [(shown, getattr(value, name, None)) for shown, name in stored_names(type(value))]


def _problem_of(of: Any) -> tuple[str | None, Exception | None]:
    """Say why msgspec can't read values of a type back, None if it can."""
    try:
        msgspec.json.Decoder(of)
        parts = _parts(inspect.type_info(of), set())
        # Types that msgspec takes without knowing how to read them.
        custom = next((one.cls for one in parts if isinstance(one, inspect.CustomType)), None)
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

    def plain(value: Any) -> Any:
        return value.__class__.__pydantic_serializer__.to_python(
            value, mode="json", by_alias=True, warnings="error"
        )

    def canonical(value: Any) -> bytes:
        return _SORTED.encode(msgspec.json.decode(encode(value)))

    if _has_sets(cls.__pydantic_core_schema__):
        return _form_with_sets(plain, decode)
    return Form(encode, decode, canonical)


def _placeholder(cls: Any, annotation: Any, value: Any) -> bytes:
    """Return what a personal field of *cls* reads as once it is erased.

    Raises:
        ValueError: the field can't have this value.
    """
    if is_pydantic_class(cls):
        # Who has a model has pydantic; nobody else shall need it.
        from pydantic import TypeAdapter  # noqa: PLC0415

        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        data = adapter.dump_json(value, by_alias=True, warnings="error")
        returned = adapter.validate_json(data, strict=True)
    else:
        form = _plain_form_of(annotation)
        try:
            data = form.encode(value)
            returned = form.decode(data)
        except (*ENCODE_ERRORS, *DECODE_ERRORS) as error:
            raise ValueError(str(error)) from error
    if not same(value, returned):
        raise ValueError(f"{value!r} comes back as {returned!r}")
    return data


def _has_sets(schema: object) -> bool:
    """Return whether a set stands anywhere in one of pydantic's core schemas."""
    if isinstance(schema, dict):
        parts = typing.cast("dict[str, object]", schema)
        return parts.get("type") in {"set", "frozenset"} or any(map(_has_sets, parts.values()))
    if isinstance(schema, list | tuple):
        return any(map(_has_sets, typing.cast("Iterable[object]", schema)))
    return False


def _parts(part: object, seen: set[type]) -> Iterator[inspect.Type]:
    """Find all types that a type is made of, itself included."""
    if isinstance(part, inspect.Type):
        yield part
    if isinstance(part, tuple):
        for member in typing.cast("tuple[object, ...]", part):
            yield from _parts(member, seen)
    elif isinstance(part, inspect.Type | inspect.Field):
        cls = getattr(part, "cls", None)
        if isinstance(part, inspect.StructType | inspect.DataclassType) and cls is not None:
            if cls in seen:
                return
            seen.add(cls)
        for name in type(part).__struct_fields__:
            if name not in {"default", "default_factory"}:
                yield from _parts(getattr(part, name), seen)


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
