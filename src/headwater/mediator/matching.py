"""Which messages a class or Protocol stands for."""

import functools
from typing import Any, Protocol, TypeVar, runtime_checkable

_T_co = TypeVar("_T_co", covariant=True)


def is_protocol(cls: type) -> bool:
    """Return whether *cls* is itself a Protocol, not a class that implements one."""
    return bool(getattr(cls, "_is_protocol", False))


def is_runtime_protocol(cls: type) -> bool:
    """Return whether *cls* is a Protocol that classes may be compared with at run time."""
    return is_protocol(cls) and bool(getattr(cls, "_is_runtime_protocol", False))


@functools.lru_cache(maxsize=1024)
def _members(protocol: type) -> frozenset[str]:
    """Return the names that a Protocol asks for, its own and its base Protocols'."""
    names: set[str] = set()
    for base in protocol.__mro__:
        if base is object or not is_protocol(base):
            continue
        names.update(_own_annotations(base))
        names.update(name for name in vars(base) if not name.startswith("_abc_"))
    return frozenset(names - _MACHINERY)


@runtime_checkable
class _Bare(Protocol[_T_co]):
    """A Protocol that asks for nothing."""

    __slots__ = ()


# What a class statement and `typing` leave in every Protocol's namespace.
_MACHINERY = frozenset(
    {*vars(_Bare), "__annotations__", "__annotations_cache__", "__dict__", "__init__"}
    | {"__non_callable_proto_members__", "__protocol_attrs__", "__weakref__"}
)


def stands_for(pattern: type, message_type: type) -> bool:
    """Return whether messages of *message_type* are meant by *pattern*.

    A class means itself and what derives from it, ``object`` everything. A Protocol means the
    classes that have all its members, as attributes or as annotated fields: fields that only
    instances have would escape ``issubclass``, and dispatch is decided by the class.
    """
    if pattern is object:
        return True
    if not is_protocol(pattern):
        return issubclass(message_type, pattern)
    return all(_has(message_type, name) for name in _members(pattern))


def _has(cls: type, name: str) -> bool:
    if hasattr(cls, name):
        return True
    return any(name in _own_annotations(base) for base in cls.__mro__)


def _own_annotations(cls: type) -> dict[str, Any]:
    annotations: dict[str, Any] = vars(cls).get("__annotations__", {})
    return annotations
