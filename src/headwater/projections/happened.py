"""An event as it is folded, wherever it comes from."""

from typing import Any, Protocol

from headwater.metadata import Recorded


class Placed(Protocol):
    """What names an event in an error: its stored type, and its position (0: none yet)."""

    @property
    def type(self) -> str: ...

    @property
    def position(self) -> int: ...


class Happened(Protocol):
    """An event as it is folded: read from the log, about to be appended, or made up in a test."""

    @property
    def payload(self) -> object: ...

    @property
    def recorded(self) -> Recorded[Any]: ...

    @property
    def stored(self) -> Placed: ...
