"""What travels beside a payload: the context of the current message, the record of an event."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from headwater.errors import LimitExceededError
from headwater.ids import new_id

E_co = TypeVar("E_co", covariant=True)

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
HEADERS_MAX: Final = 64
HEADER_LENGTH_MAX: Final = 4096


class MessageContext(msgspec.Struct, frozen=True):
    """Whence the current message comes; follows every send, publish and append.

    `message_id` is the current message's own id; what it causes carries it as causation id.
    `deadline` is the moment after which its unit of work refuses to commit.
    """

    correlation_id: UUID
    message_id: UUID
    causation_id: UUID | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: Mapping[str, str] = NO_HEADERS
    deadline: datetime | None = None

    def caused(self, message_id: UUID | None = None) -> "MessageContext":
        """Return the context of a message that this one causes."""
        return MessageContext(
            self.correlation_id,
            message_id or new_id(),
            self.message_id,
            self.actor,
            self.tenant,
            self.traceparent,
            self.headers,
            self.deadline,
        )


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return *headers* if they keep the limits (64 headers; 4,096 characters name or value).

    Raises:
        LimitExceededError: they don't.
    """
    if len(headers) > HEADERS_MAX:
        raise LimitExceededError("headers of a message", limit=HEADERS_MAX, actual=len(headers))
    for name, value in headers.items():
        length = max(len(name), len(value))
        if length > HEADER_LENGTH_MAX:
            raise LimitExceededError(
                f"characters in header {name[:80]!r}", limit=HEADER_LENGTH_MAX, actual=length
            )
    return headers


class CausedContext(msgspec.Struct, gc=False):
    """The context of a message that *outer* causes, made when somebody first looks at it.

    An id costs as much as a whole dispatch, and most handlers never look.
    """

    outer: "MessageContext | CausedContext | None"
    made: MessageContext | None = None

    def resolve(self) -> MessageContext:
        """Return the context; every look, from any thread, gives the same one."""
        if self.made is not None:
            return self.made
        outer = self.outer.resolve() if isinstance(self.outer, CausedContext) else self.outer
        with _MAKING:
            if self.made is None:
                self.made = outer.caused() if outer is not None else root_context()
            return self.made


_MAKING = threading.Lock()


def root_context(message_id: UUID | None = None) -> MessageContext:
    """Return the context of a message that nothing caused: its id is the correlation id too."""
    message_id = message_id or new_id()
    return MessageContext(message_id, message_id)


CURRENT_CONTEXT: Final[ContextVar[MessageContext | CausedContext | None]] = ContextVar(
    "headwater_message_context", default=None
)
"""Set it to what is handled now; read it with `current_context`, which makes a caused one."""


def current_context() -> MessageContext | None:
    """Return the context of the message being handled here, None outside of any."""
    current = CURRENT_CONTEXT.get()
    return current.resolve() if isinstance(current, CausedContext) else current


@contextmanager
def message_context(
    *,
    correlation_id: UUID | None = None,
    actor: str | None = None,
    tenant: str | None = None,
    traceparent: str | None = None,
    headers: Mapping[str, str] | None = None,
    deadline: datetime | None = None,
) -> Generator[MessageContext, None, None]:
    """Set the context of what is sent, published and appended inside the ``with`` block.

    What is not given is taken over from the surrounding context; a correlation id is made
    where there is none.

    Raises:
        LimitExceededError: *headers* are too many or too long.
    """
    outer = current_context()
    message_id = outer.message_id if outer else new_id()
    inner = MessageContext(
        correlation_id or (outer.correlation_id if outer else message_id),
        message_id,
        outer.causation_id if outer else None,
        actor or (outer.actor if outer else None),
        tenant or (outer.tenant if outer else None),
        traceparent or (outer.traceparent if outer else None),
        check_headers(dict(headers))
        if headers is not None
        else (outer.headers if outer else NO_HEADERS),
        deadline or (outer.deadline if outer else None),
    )
    token = CURRENT_CONTEXT.set(inner)
    try:
        yield inner
    finally:
        CURRENT_CONTEXT.reset(token)


class Recorded(msgspec.Struct, Generic[E_co], frozen=True):
    """An event as it stands in the log.

    `version` is its place in the stream and `position` its place in the log, both from 1.
    `occurred_at` is the domain's time, `recorded_at` the store's; both are aware UTC.
    """

    payload: E_co
    id: UUID
    stream_id: str
    version: int
    position: int
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: Mapping[str, str] = NO_HEADERS
    tags: tuple[str, ...] = ()
