from abc import ABC, abstractmethod
from dataclasses import dataclass

from headwater.messages import Command, Query, Request


class Open(Command[str]):
    pass


class Close(Command[str]):
    pass


class Count(Query[int]):
    pass


class Many(Command[None]):
    """Has a subclass, so nobody needs to handle it by itself."""


class Few(Many):
    pass


@dataclass
class Abstract(Request[int], ABC):
    @abstractmethod
    def size(self) -> int: ...
