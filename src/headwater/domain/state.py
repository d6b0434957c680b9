"""The state of an aggregate: its annotated attributes, their defaults, and copies of them."""

import copy
import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from uuid import UUID

import msgspec

from headwater.errors import AggregateError, ConfigurationError

if TYPE_CHECKING:
    from headwater.domain.aggregate import Aggregate

_IMMUTABLE: Final = frozenset(
    {str, int, float, bool, type(None), UUID, bytes, Decimal, date, datetime, time, timedelta}
    | {complex, frozenset, FunctionType, type}
)

_FLAT: Final = frozenset[type]({list, set, dict})


def own_annotations(cls: type, root: type) -> tuple[str, ...]:
    """Return the names annotated in *cls* and its bases below *root*, the bases' first."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, root) and base is not root:
            names |= dict.fromkeys(inspect.get_annotations(base))
    return tuple(names)


def state_hints(cls: type, root: type) -> dict[str, Any]:
    """Return the state attributes of *cls* with their resolved annotations, without ClassVars.

    Raises:
        ConfigurationError: an annotation names something that can't be found.
    """
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{cls.__qualname__}: {error}, but an attribute is annotated with it."
        ) from error
    names = own_annotations(cls, root)
    return {n: hints[n] for n in names if typing.get_origin(hints[n]) is not ClassVar and n != "id"}


def default_makers(cls: type, root: type) -> dict[str, Callable[[], Any]]:
    """Return what makes the defaults that every instance must have for itself.

    A list, dict or set in a class body would be shared by all instances, so each instance
    gets a copy; ``dataclasses.field(default_factory=…)`` is called.
    """
    makers: dict[str, Callable[[], Any]] = {}
    for name in own_annotations(cls, root):
        default: Any = getattr(cls, name, None)
        if isinstance(default, dataclasses.Field):
            makers[name] = _maker_of(default)
        elif not is_immutable(default) and not hasattr(default, "__get__"):
            makers[name] = partial(_fresh, default)
    return makers


def _fresh(default: Any) -> Any:
    return copied(default, {})


def _maker_of(field: Any) -> Callable[[], Any]:
    if field.default_factory is not dataclasses.MISSING:
        maker: Callable[[], Any] = field.default_factory
        return maker
    return lambda: field.default


def is_immutable(value: object) -> bool:
    """Return whether *value* can't change in place, nor anything in it."""
    kind = type(value)
    if kind in _IMMUTABLE or issubclass(kind, Enum):
        return True
    if kind is tuple:
        return all(map(is_immutable, cast("tuple[object, ...]", value)))
    if issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen:
        return all(is_immutable(getattr(value, name)) for name in kind.__struct_fields__)
    return False


def copied(value: Any, memo: dict[int, Any], *, strict: bool = False) -> Any:
    """Return *value* with everything in it that could change in place copied.

    What is shared stays shared, through *memo*. What can't be copied is kept as it is, or is a
    `TypeError` if *strict*.
    """
    kind = value.__class__
    fresh: Any
    if kind in _FLAT and id(value) not in memo:
        # The keys of a dict can't change in place anyway.
        members: Iterable[object] = value.values() if kind is dict else value
        if _IMMUTABLE.issuperset(map(type, members)):
            memo[id(value)] = fresh = value.copy()
            return fresh
    if is_immutable(value):
        return value
    known = memo.get(id(value))
    if known is not None:
        return known
    if kind is list:
        fresh = []
        memo[id(value)] = fresh
        fresh += [copied(member, memo, strict=strict) for member in value]
        return fresh
    if kind is dict:
        fresh = {}
        memo[id(value)] = fresh
        fresh.update({key: copied(each, memo, strict=strict) for key, each in value.items()})
        return fresh
    try:
        return copy.deepcopy(value, memo)
    except (TypeError, copy.Error) as error:
        if strict:
            raise TypeError(f"{kind.__qualname__} can't be copied: {error}") from error
        return value


def copy_of_state(state: Mapping[str, Any], *, strict: bool = False) -> dict[str, Any]:
    """Return *state* with everything in it that could change in place copied.

    What can't be copied is kept as it is, or is a `TypeError` if *strict*.
    """
    memo: dict[int, Any] = {}
    return {name: copied(value, memo, strict=strict) for name, value in state.items()}


def shared_part(values: Iterable[Any]) -> str | None:
    """Return the name of a class of which *values* hold one changeable object in two places."""
    seen: set[int] = set()
    waiting = [*values]
    while waiting:
        value = waiting.pop()
        if is_immutable(value):
            continue
        if id(value) in seen:
            return type(value).__qualname__
        seen.add(id(value))
        waiting += _parts_of(value)
    return None


def _parts_of(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return [*cast("Iterable[Any]", value)]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    return [*getattr(value, "__dict__", {}).values()]


def make_state_type(cls: type, root: type) -> type[msgspec.Struct]:
    """Return a record type with the state attributes of *cls*.

    A field's stored name is the attribute's without leading underscores. Defaults of the class
    are the defaults of the record, so that state stored before an attribute was added is read.

    Raises:
        ConfigurationError: an annotation can't be resolved, or two fields get one stored name.
    """
    fields: list[tuple[str, Any, Any]] = []
    stored_names: dict[str, str] = {}
    makers = default_makers(cls, root)
    for name, hint in state_hints(cls, root).items():
        stored = _stored_name(cls, name)
        if stored in stored_names.values():
            raise ConfigurationError(
                f"{cls.__qualname__}: two attributes would be stored as {stored!r}; rename one."
            )
        stored_names[name] = stored
        default: Any = msgspec.NODEFAULT
        if name in makers:
            default = msgspec.field(default_factory=makers[name])
        elif hasattr(cls, name):
            default = getattr(cls, name)
        fields.append((name, hint, default))
    return msgspec.defstruct(
        f"{cls.__name__}State",
        [field if field[2] is not msgspec.NODEFAULT else field[:2] for field in fields],
        module=cls.__module__,
        rename=stored_names,
        kw_only=True,
    )


def _stored_name(cls: type, attribute: str) -> str:
    """The attribute without leading underscores, and without what Python put before them."""
    for base in cls.__mro__:
        attribute = attribute.removeprefix(f"_{base.__name__.lstrip('_')}__")
    return attribute.lstrip("_")


def state_of(aggregate: "Aggregate[Any]") -> msgspec.Struct:
    """Return the state of *aggregate* as its `state_type`; the values are not copied.

    Raises:
        AggregateError: an attribute has no value, or has one and is not annotated.
    """
    state_type = aggregate.state_type()
    stray = [name for name in vars(aggregate) if name not in state_type.__struct_fields__]
    if stray:
        raise AggregateError(
            f"{type(aggregate).__name__} {aggregate.id} has set {', '.join(map(repr, stray))}, "
            f"which its class does not annotate, so it would not be stored. Annotate it there."
        )
    values: dict[str, Any] = {}
    for name in state_type.__struct_fields__:
        try:
            values[name] = getattr(aggregate, name)
        except AttributeError:
            raise AggregateError(
                f"{type(aggregate).__name__} {aggregate.id} has no {name!r} yet. Set it in the "
                f"@applies method of its first event, or give it a default."
            ) from None
    return state_type(**values)
