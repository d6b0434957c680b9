"""What a `RawEvent` may hold, which stands in the log as it is."""

import re
from typing import Final

import msgspec

from headwater.errors import LimitExceededError, SerializationError
from headwater.messages import RawEvent
from headwater.serialization.forms import DECODE_ERRORS
from headwater.serialization.names import check_type_name
from headwater.serialization.personal.parcels import PREFIX

RAW_DEPTH_MAX: Final = 100
"""How deep the JSON of a `RawEvent` may be nested."""

_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def raw_text(event: RawEvent, *, bytes_max: int) -> str:
    """Return the data of *event* as text.

    Raises:
        InvalidNameError: its type can't be a stored type name.
        SerializationError: it has no schema version, or its data is not JSON, or looks like
            something encrypted.
        LimitExceededError: it has more than *bytes_max* bytes, or more than `RAW_DEPTH_MAX` levels.
    """
    check_type_name(event.type)
    if event.schema_version < 1:
        raise SerializationError(
            f"{event.type}: a schema version is 1 or more, not {event.schema_version}."
        )
    if len(event.data) > bytes_max:
        raise too_large(event.type, len(event.data), bytes_max=bytes_max)
    if (depth := _depth_of(event.data)) > RAW_DEPTH_MAX:
        raise LimitExceededError(
            f"nested levels in event {event.type!r}", limit=RAW_DEPTH_MAX, actual=depth
        )
    try:
        data = event.data.decode()
        msgspec.json.decode(data)
    except DECODE_ERRORS as error:
        raise SerializationError(f"The data of {event.type!r} is not JSON: {error}.") from error
    if data.startswith(PREFIX):
        raise SerializationError(f"The data of {event.type!r} begins with a reserved member.")
    return data


def too_large(name: str, size: int, *, bytes_max: int) -> LimitExceededError:
    """Return the error for an event of *size* bytes."""
    return LimitExceededError(f"bytes in event {name!r}", limit=bytes_max, actual=size)


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
