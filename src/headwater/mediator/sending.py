"""What handlers ask for to send and to publish, how one request is sent, what `execute` returns."""

from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from headwater.errors import ConfigurationError
from headwater.messages import Query, Request
from headwater.ports.changes import Committed

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


class Sending(msgspec.Struct):
    """How one request was sent, beyond the ordinary; `committed` is filled by its commit."""

    id: UUID | None = None
    separate: bool = False
    committed: Committed = msgspec.field(default_factory=Committed)

    def check(self, request_type: type, *, has_storage: bool) -> None:
        """Raise `ConfigurationError` if this can't be kept, wherever the request is sent."""
        name = request_type.__name__
        if issubclass(request_type, Query) and (self.separate or self.id is not None):
            raise ConfigurationError(
                f"{name} is a query: it is asked anew each time and commits nothing, so send() "
                f"takes no id=… nor separate=True with it. Leave them out, or make it a command."
            )
        if self.separate and self.id is None:
            raise ConfigurationError(
                f"send({name}, separate=True) needs id=…: if the message around it runs again, "
                f"the id keeps this one from being done twice."
            )
        if not has_storage:
            raise ConfigurationError(
                f"send({name}, id=…) is kept by a storage, and this mediator has none. Give it "
                f"units=…, or use an App."
            )
