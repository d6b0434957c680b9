"""Which messages a class or Protocol stands for."""

import functools
from typing import Any


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


# What a class statement and `typing` leave in every Protocol's namespace.
_MACHINERY = frozenset(
    """_is_protocol _is_runtime_protocol __abstractmethods__ __annotate__ __annotate_func__
    __annotations__ __annotations_cache__ __callable_proto_members_only__ __class_getitem__
    __dict__ __doc__ __final__ __firstlineno__ __init__ __init_subclass__ __match_args__
    __module__ __new__ __non_callable_proto_members__ __orig_bases__ __parameters__
    __protocol_attrs__ __qualname__ __slots__ __static_attributes__ __subclasshook__
    __type_params__ __weakref__""".split()
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
