"""Changes to dicts and lists in memory that can be taken back."""

from typing import Any, Final, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_MISSING: Final = object()


class Journal:
    """Notes what one member of a batch changes, so that a refused one leaves no trace."""

    __slots__ = ("_undo",)

    def __init__(self) -> None:
        self._undo: list[tuple[Any, Any, Any]] = []

    def put(self, into: dict[_Key, _Value], key: _Key, value: _Value) -> None:
        """Set ``into[key]``."""
        self._undo.append((into, key, into.get(key, _MISSING)))
        into[key] = value

    def push(self, onto: list[_Value], value: _Value) -> None:
        """Append *value* to *onto*."""
        self._undo.append((onto, None, None))
        onto.append(value)

    def accept(self) -> None:
        """Keep everything since the last `accept` or `take_back`."""
        self._undo.clear()

    def take_back(self) -> None:
        """Undo everything since the last `accept` or `take_back`."""
        for target, key, before in reversed(self._undo):
            if isinstance(target, list):
                target.pop()
            elif before is _MISSING:
                del target[key]
            else:
                target[key] = before
        self._undo.clear()
