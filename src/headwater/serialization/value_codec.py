"""Values of any type to JSON text and back: rows, states, answers."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

import msgspec

from headwater.errors import RoundTripError, SerializationError
from headwater.serialization.forms import DECODE_ERRORS, ENCODE_ERRORS, Form, form_of
from headwater.serialization.personal.annotations import holds_personal
from headwater.serialization.personal.parcels import PREFIX, packed_value, unpacked
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.sameness import fields_of, first_difference, same, shown

NOTHING_AROUND: Final[Mapping[str, str]] = MappingProxyType({})
PREFIX_BYTES: Final = PREFIX.encode()

_FIELD: Final = re.compile(r"\w+(\.\w+)?")
_PLACE: Final = re.compile(r" - at `(\$[\w.\[\]]*)`")
_HIDDEN: Final = "It has personal fields, so no value is shown."


class ValueCodec:
    """Writes values as JSON text and reads them back. Safe to use from several threads."""

    def __init__(self, registry: TypeRegistry) -> None:
        self.registry = registry
        self._forms: dict[Any, Form] = {}

    def encode_value(
        self,
        value: object,
        type: Any,
        *,
        exact: bool = False,
        around: Mapping[str, str] = NOTHING_AROUND,
    ) -> str:
        """Return the JSON text of a *value* of a *type*: a class, a union, a generic, None.

        With *exact* the value comes back from `decode_value` as it is, or it is refused.
        *around* holds what personal fields name as their subject and is not in the value: of a
        state, its aggregate's id under ``"id"``.

        Raises:
            RoundTripError: the value can't be written, or (*exact*) would come back changed.
            MessageTypeError: values of *type* can't be read back from JSON at all.
            SerializationError: a personal part does not say whose it is.
        """
        form = self._form_for(type)
        if form.mark is not None:
            return written_personal(form, value, around, exact=exact).decode()
        data = written(form, value, exact=exact)
        # A dict of somebody's may look like parcels.
        return (packed_value(data, ()) if data.startswith(PREFIX_BYTES) else data).decode()

    def decode_value(self, text: str, type: Any) -> Any:
        """Return the value of *type* that is stored as *text*.

        Raises:
            SerializationError: *text* is not JSON or not of this type.
            MessageTypeError: values of *type* can't be read back from JSON at all.
        """
        form = self._form_for(type)
        if text.startswith(PREFIX):
            text = unpacked(text)
        try:
            return form.decode(text)
        except DECODE_ERRORS as error:
            if form.mark is not None:
                raise SerializationError(f"Stored {type} can't be read{place_of(error)}.") from None
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
            if entry.form.mark is not None or holds_personal(message):
                problem = f"it can't be written as JSON{place_of(error)}. {_HIDDEN}"
                raise SerializationError(f"{entry.name}: {problem}") from None
            raise SerializationError(f"{entry.name}: {unwritable(message, error)}") from error
        name = entry.name.encode()
        # Without a key, whoever guesses what is personal could tell from the digest.
        personal = self.registry.personal if entry.form.mark is not None else None
        key = personal.digest_key if personal is not None else b""
        return blake2b(b"%d:%s%s" % (len(name), name, content), digest_size=16, key=key).digest()

    def is_personal(self, type: Any) -> bool:
        """Return whether values of *type* have personal fields.

        Raises:
            MessageTypeError: values of *type* can't be read back, or there are no keys.
        """
        return self._form_for(type).mark is not None

    def _form_for(self, type: Any) -> Form:
        form = self._forms.get(type)
        if form is None:
            form = self.registry.checked(type, form_of(type, around=("id",)))
            self._forms[type] = form
        return form


def written(form: Form, value: object, *, exact: bool = True) -> bytes:
    """Return the JSON of *value*.

    Raises:
        RoundTripError: it can't be written, or (*exact*) would come back changed.
    """
    try:
        return _written(form, value, exact=exact)
    except RoundTripError:
        if not holds_personal(value):
            raise
    # Its type says nothing of it, but something personal stands in it.
    return written_personal(form, value, exact=exact)


def _written(form: Form, value: object, *, exact: bool) -> bytes:
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
    return data


def written_personal(
    form: Form, value: object, around: Mapping[str, str] = NOTHING_AROUND, *, exact: bool = True
) -> bytes:
    """Return the JSON of a value that has personal parts, with those packed in parcels.

    What is raised shows nothing of the value, nor has a cause that does.

    Raises:
        RoundTripError: it can't be written, or (*exact*) would come back changed.
        SerializationError: a personal part does not say whose it is.
    """
    cls = type(value)
    try:
        data = form.encode(value)
        returned = form.decode(data) if exact else value
    except (*ENCODE_ERRORS, *DECODE_ERRORS) as error:
        problem = f"it can't be written as JSON and read back{place_of(error)}. {_HIDDEN}"
        raise RoundTripError(cls, problem) from None
    if exact and not same(value, returned):
        differs = first_difference(value, returned, cls.__name__) or ""
        where = _FIELD.match(differs)
        problem = f"{where[0] if where else cls.__name__} comes back as another value. {_HIDDEN}"
        raise RoundTripError(cls, problem)
    return data if form.mark is None else form.mark(data, around)


def place_of(error: BaseException) -> str:
    """Return where in a JSON text *error* lies, without anything of the text itself."""
    found = _PLACE.search(str(error))
    return f" ({type(error).__name__} at {found[1]})" if found else f" ({type(error).__name__})"


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
