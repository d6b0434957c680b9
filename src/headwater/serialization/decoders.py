"""What decodes one type name and schema version, and the record of a part of an event."""

from collections.abc import Callable

import msgspec

from headwater.errors import SerializationError
from headwater.ports.log import StoredEvent
from headwater.serialization.forms import DECODE_ERRORS
from headwater.serialization.personal.parcels import PREFIX, unpacked
from headwater.serialization.registry import RegisteredType
from headwater.serialization.upcast_chains import Part
from headwater.serialization.value_codec import place_of

Decode = Callable[[str | bytes], object]


def decoder_of(entry: RegisteredType, schema_version: int) -> Decode:
    """Return what decodes events of the newest schema version, or of one without an upcaster."""
    read, is_personal = entry.form.decode, entry.form.mark is not None

    def decode(data: str | bytes) -> object:
        if isinstance(data, str) and data.startswith(PREFIX):
            data = unpacked(data)
        try:
            return read(data)
        except DECODE_ERRORS as error:
            if is_personal:
                raise SerializationError(
                    f"Stored event {entry.name!r} version {schema_version} can't be read as "
                    f"{entry.cls.__qualname__}{place_of(error)}."
                ) from None
            raise SerializationError(
                f"Stored event {entry.name!r} version {schema_version} can't be read as "
                f"{entry.cls.__qualname__}: {error}."
            ) from error

    return decode


def part_of(stored: StoredEvent, part: Part) -> StoredEvent:
    """Return the record of what upcasters made of *stored*: one *part* of it."""
    # What starts a correlation is the event that was stored, not one part of it.
    started = stored.id if part.lineage else None
    return msgspec.structs.replace(
        stored,
        id=part.id_of(stored.id),
        correlation_id=stored.correlation_id or started,
        type=part.name,
        schema_version=part.version,
        data=part.data.decode(),
    )
