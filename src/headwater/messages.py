"""The kinds of message: commands and queries ask, events tell, values are parts of them.

Every kind is a frozen record on ``msgspec.Struct``. Dataclasses, attrs classes and pydantic
models are messages of equal rights: a request names its response with the `Request` mixin,
and `message` sets what a record sets in its class header.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast, dataclass_transform

import msgspec

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

OPTIONS_ATTRIBUTE = "__headwater_message__"


class MessageOptions(msgspec.Struct, frozen=True):
    """What a message class says of itself in its header or with `message`.

    `name` replaces the derived part of the stored type name (``order-placed`` of
    ``sales.order-placed``); a name with a dot replaces all of it. `context` names the bounded
    context that owns the type. `version` is the schema version of the stored form, from 1.
    """

    name: str | None = None
    context: str | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"schema version must be 1 or more, not {self.version}")


DEFAULT_OPTIONS = MessageOptions()


def options_of(message_type: type) -> MessageOptions:
    """Return the options *message_type* itself was given; a base class's are not inherited."""
    options = vars(message_type).get(OPTIONS_ATTRIBUTE)
    return cast("MessageOptions", options) if options is not None else DEFAULT_OPTIONS


def message(
    *, name: str | None = None, context: str | None = None, version: int = 1
) -> Callable[[type[T]], type[T]]:
    """Set stored name, owning context and schema version of a class that is no `Message`.

    Raises:
        ValueError: *version* is below 1.
    """

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, OPTIONS_ATTRIBUTE, MessageOptions(name, context, version))
        return cls

    return mark


class Request(Generic[R_co]):
    """A message that expects a response of type ``R_co``; the mixin for foreign classes."""

    __slots__ = ()


class RecordMeta(msgspec.StructMeta):
    """Makes records frozen by default and takes message options in the class header."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        context: str | None = None,
        version: int = 1,
        **struct_options: Any,
    ) -> "RecordMeta":
        struct_options.setdefault("frozen", True)
        cls = super().__new__(mcls, class_name, bases, namespace, **struct_options)
        setattr(cls, OPTIONS_ATTRIBUTE, MessageOptions(name, context, version))
        return cls


# The transform stands on the classes and not on the metaclass, because msgspec.Struct has one
# that is not frozen by default, and mypy believes the nearest base class before a metaclass.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, metaclass=RecordMeta, frozen=True):
    """A frozen part of messages, compared by content: money, an address, an order line."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, metaclass=RecordMeta, frozen=True):
    """A frozen record that is sent, published or appended."""


class Command(Message, Request[R_co], Generic[R_co]):
    """Asks for a change; one handler answers with ``R_co``. Named in the imperative."""


class Query(Message, Request[R_co], Generic[R_co]):
    """Asks for information and changes nothing; one handler answers with ``R_co``."""


class Event(Message):
    """Something that happened, in the past tense; what an aggregate records."""


class Notification(Message):
    """Something to tell `@on` handlers of this process now; never stored."""


class IntegrationEvent(Message):
    """An event for other contexts and services; its form is a public contract."""


class RawEvent(msgspec.Struct, frozen=True):
    """An event by stored type name and JSON text, for types this process has no class for.

    Appending one stores *data* as it is (it must be valid JSON); reading an unknown type
    gives one.
    """

    type: str
    data: bytes
    schema_version: int = 1
