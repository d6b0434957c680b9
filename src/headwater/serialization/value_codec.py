"""Values of any type to JSON text and back: rows, states, answers."""

from hashlib import blake2b
from typing import Any

import msgspec

from headwater.errors import RoundTripError, SerializationError
from headwater.serialization.forms import DECODE_ERRORS, ENCODE_ERRORS, Form, form_of
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.sameness import fields_of, first_difference, same, shown


class ValueCodec:
    """Writes values as JSON text and reads them back. Safe to use from several threads."""

    def __init__(self, registry: TypeRegistry) -> None:
        self.registry = registry
        self._forms: dict[Any, Form] = {}

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
            raise RoundTripError(cls, unwritable(value, error)) from error
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
            raise SerializationError(f"{entry.name}: {unwritable(message, error)}") from error
        name = entry.name.encode()
        return blake2b(b"%d:%s%s" % (len(name), name, content), digest_size=16).digest()

    def _form_for(self, type: Any) -> Form:
        form = self._forms.get(type)
        if form is None:
            form = self._forms[type] = form_of(type)
        return form


def unwritable(value: object, error: Exception) -> str:
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
