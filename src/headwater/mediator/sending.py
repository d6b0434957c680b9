"""What handlers ask for to send and to publish, and what `execute` returns."""

from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from headwater.messages import Request

R = TypeVar("R")


class Sender(Protocol):
    """Sends requests. A fake for a test has this one method."""

    def send(self, request: Request[R], /) -> Coroutine[Any, Any, R]:
        """Hand *request* to its one handler; await the answer."""
        ...


class Publisher(Protocol):
    """Publishes messages. A fake for a test has this one method."""

    def publish(
        self, message: object, /, *, after_commit: bool = False
    ) -> Coroutine[Any, Any, None]:
        """Hand *message* to all who hear it; await them, or put it off until the commit."""
        ...


class Receipt(msgspec.Struct, Generic[R], frozen=True):
    """A handler's answer, and the log position of what it committed (0 if it appended nothing).

    Wait for a projection to reach it, to read what was written.
    """

    result: R
    position: int
