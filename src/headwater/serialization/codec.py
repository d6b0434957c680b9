"""Events to JSON text and back, with the guarantee that they come back as they were."""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec

from headwater.errors import (
    LimitExceededError,
    RoundTripError,
    SerializationError,
    UnknownTypeError,
)
from headwater.messages import RawEvent
from headwater.serialization.forms import DECODE_ERRORS, ENCODE_ERRORS, Form, form_of
from headwater.serialization.names import check_type_name
from headwater.serialization.registry import RegisteredType, TypeRegistry
from headwater.serialization.sameness import fields_of, first_difference, same, shown

EVENT_BYTES_MAX: Final = 1024 * 1024
"""The most bytes that an encoded event may have, unless the codec is told otherwise."""

RAW_DEPTH_MAX: Final = 100
"""How deep the JSON of a `RawEvent` may be nested."""

Decode = Callable[[str], object]

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


class Stored(Protocol):
    """An event as a storage keeps it."""

    @property
    def type(self) -> str: ...
    @property
    def schema_version(self) -> int: ...
    @property
    def data(self) -> str: ...


class EventCodec:
    """Writes events as JSON text and reads them back.

    What `encode` returns comes back from `decode` with equal content and equal types, all the
    way down, or `encode` refuses it (DESIGN, guarantee 1). Safe to use from several threads.
    """

    def __init__(self, registry: TypeRegistry, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.registry = registry
        self.event_bytes_max = event_bytes_max
        self._decoders: dict[tuple[str, int], Decode] = {}
        self._forms: dict[Any, Form] = {}

    # ------------------------------------------------------------------------------- events

    def encode(self, event: object) -> tuple[str, int, str]:
        """Return the stored type name, the schema version and the JSON text of *event*.

        A `RawEvent` stands as it is. A class nobody registered is registered now.

        Raises:
            RoundTripError: the event would not come back as it is; says where.
            MessageTypeError: events of this class can't be stored at all.
            SerializationError: the data of a `RawEvent` is not JSON, or not of its type.
            LimitExceededError: it has more than `event_bytes_max` bytes, or a `RawEvent` is
                nested deeper than 100.
        """
        cls = type(event)
        if cls is RawEvent:
            return self._encode_raw(event)  # type: ignore[arg-type] # its type was just compared
        entry = self.registry.entry_of(cls)
        form = entry.form
        try:
            data = form.encode(event)
        except ENCODE_ERRORS as error:
            raise RoundTripError(cls, _unwritable(event, error)) from error
        try:
            returned = form.decode(data)
        except DECODE_ERRORS as error:
            raise RoundTripError(cls, f"{cls.__name__}: {error}.") from error
        if not same(event, returned):
            raise RoundTripError(cls, first_difference(event, returned, cls.__name__) or "")
        if len(data) > self.event_bytes_max:
            raise self._too_large(entry.name, len(data))
        return entry.name, entry.version, data.decode()

    def decode(self, type: str, schema_version: int, data: str) -> object:
        """Return the event that is stored as *data* under a type name and schema version.

        Raises:
            UnknownTypeError: no class has the name, or it has an older schema version only.
            SerializationError: *data* is not JSON or not of this type.
        """
        decode = self._decoders.get((type, schema_version))
        if decode is None:
            decode = self.decoder_for(type, schema_version)
        return decode(data)

    def decode_stored(self, stored: Stored) -> Any:
        """Return the event that a storage keeps as *stored*; raises as `decode`."""
        decode = self._decoders.get((stored.type, stored.schema_version))
        if decode is None:
            decode = self.decoder_for(stored.type, stored.schema_version)
        return decode(stored.data)

    def decoder_for(self, type: str, schema_version: int) -> Decode:
        """Return what decodes the data of one type name and schema version; raises as `decode`."""
        key = type, schema_version
        decode = self._decoders.get(key)
        if decode is None:
            entry = self.registry.entry_named(type)
            if entry is None or schema_version > entry.version:
                known = None if entry is None else entry.version
                raise UnknownTypeError(type, schema_version, known)
            decode = self._decoders[key] = _decoder(entry, schema_version)
        return decode

    def _encode_raw(self, event: RawEvent) -> tuple[str, int, str]:
        check_type_name(event.type)
        if event.schema_version < 1:
            raise SerializationError(
                f"{event.type}: a schema version is 1 or more, not {event.schema_version}."
            )
        if len(event.data) > self.event_bytes_max:
            raise self._too_large(event.type, len(event.data))
        if (depth := _depth_of(event.data)) > RAW_DEPTH_MAX:
            raise LimitExceededError(
                f"nested levels in event {event.type!r}", limit=RAW_DEPTH_MAX, actual=depth
            )
        try:
            data = event.data.decode()
            msgspec.json.decode(data)
        except DECODE_ERRORS as error:
            raise SerializationError(f"The data of {event.type!r} is not JSON: {error}.") from error
        entry = self.registry.entry_named(event.type)
        if entry is not None and entry.version == event.schema_version:
            self.decode(event.type, event.schema_version, data)
        return event.type, event.schema_version, data

    def _too_large(self, name: str, size: int) -> LimitExceededError:
        return LimitExceededError(
            f"bytes in event {name!r}", limit=self.event_bytes_max, actual=size
        )

    # ------------------------------------------------------------------------------- values

    def encode_value(self, value: object, type: Any, *, exact: bool = False) -> str:
        """Return the JSON text of a *value* of a *type*: a class, a union, a generic, None.

        With *exact* the value comes back from `decode_value` as it is, or it is refused.

        Raises:
            RoundTripError: the value can't be written, or (*exact*) would come back changed.
            MessageTypeError: values of *type* can't be read back from JSON at all.
        """
        form = self._form_for(type)
        cls = value.__class__
        try:
            data = form.encode(value)
        except ENCODE_ERRORS as error:
            raise RoundTripError(cls, _unwritable(value, error)) from error
        if exact:
            try:
                returned = form.decode(data)
            except DECODE_ERRORS as error:
                raise RoundTripError(cls, f"{cls.__name__}: {error}.") from error
            if not same(value, returned):
                raise RoundTripError(cls, first_difference(value, returned, cls.__name__) or "")
        return data.decode()

    def decode_value(self, text: str, type: Any) -> Any:
        """Return the value of *type* that is stored as *text*.

        Raises:
            SerializationError: *text* is not JSON or not of this type.
            MessageTypeError: values of *type* can't be read back from JSON at all.
        """
        try:
            return self._form_for(type).decode(text)
        except DECODE_ERRORS as error:
            raise SerializationError(f"Stored {type} can't be read: {error}.") from error

    def digest(self, message: object) -> bytes:
        """Return 16 bytes that tell this message from any other of its type name or content.

        The order of fields, dict entries and set members does not count.

        Raises:
            SerializationError: the message can't be written as JSON.
            MessageTypeError: its class can't be a message.
        """
        entry = self.registry.entry_of(type(message))
        try:
            content = entry.form.canonical(message)
        except ENCODE_ERRORS as error:
            raise SerializationError(f"{entry.name}: {_unwritable(message, error)}") from error
        name = entry.name.encode()
        return blake2b(b"%d:%s%s" % (len(name), name, content), digest_size=16).digest()

    def _form_for(self, type: Any) -> Form:
        form = self._forms.get(type)
        if form is None:
            form = self._forms[type] = form_of(type)
        return form


def _decoder(entry: RegisteredType, schema_version: int) -> Decode:
    """What decodes an event; upcasters of older schema versions go in front of its form here."""
    read = entry.form.decode

    def decode(data: str) -> object:
        try:
            return read(data)
        except DECODE_ERRORS as error:
            raise SerializationError(
                f"Stored event {entry.name!r} version {schema_version} can't be read as "
                f"{entry.cls.__qualname__}: {error}."
            ) from error

    return decode


def _unwritable(value: object, error: Exception) -> str:
    """Say which field can't be written; *error* is what writing the whole raised."""
    cls = type(value)
    for name in fields_of(cls) or ():
        part = getattr(value, name, None)
        if part is msgspec.UNSET:
            continue
        try:
            msgspec.json.encode(part)
        except ENCODE_ERRORS as inner:
            return f"{cls.__name__}.{name}: {shown(part)} can't be written as JSON: {inner}."
    return f"{cls.__name__} can't be written as JSON: {error}."


def _depth_of(data: bytes) -> int:
    depth = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(data):
        token = found.group()
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest
