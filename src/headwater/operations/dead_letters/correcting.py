"""Corrects the payload of an event for a subscription, beside the log."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from headwater.errors import ConfigurationError, ConflictError, SerializationError
from headwater.operations.control import CONTROL_ROWS, read_control
from headwater.operations.dead_letters.overrides import base_name
from headwater.ports.changes import Changes, RowChange
from headwater.ports.log import WHOLE_LOG, Log, StoredEvent
from headwater.ports.sealed import PERSONAL_PREFIX
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal import addressees


class Correction(msgspec.Struct, frozen=True):
    """A payload as it is to be stored, and of whom it holds personal data."""

    type: str
    schema_version: int
    data: str
    subjects: Collection[str] = ()


async def event_at(log: Log, position: int) -> StoredEvent | None:
    """Return the event at *position*, None if it was erased, or never was."""
    page = await log.read_log(after=position - 1, where=WHOLE_LOG, limit=1)
    return next((one for one in page.events if one.position == position), None)


def correction_of(stored: StoredEvent, data: str, codec: EventCodec | None) -> Correction:
    """Return *data*, JSON text in the form of *stored*, as a subscription can read it.

    With a *codec* it is checked, and stored in the newest form. Without one, only that it is an
    object as *stored* is: whoever reads it finds out.

    Raises:
        SerializationError: it can't be read as an event of this type.
        ConfigurationError: *stored* has personal data, and there is no codec that knows whose.
    """
    _check_object(data)
    if codec is None:
        if stored.data.startswith(PERSONAL_PREFIX):
            raise ConfigurationError(
                f"The event at position {stored.position} has personal data, and its fields are "
                f"not known without the app: name it by --app."
            )
        return Correction(stored.type, stored.schema_version, data)
    events = codec.decode_all(stored.type, stored.schema_version, data)
    if len(events) != 1:
        # Upcasters make several of it, or none; they are the check that it can be read.
        if codec.registry.personal is not None:
            raise ConfigurationError(
                f"The event at position {stored.position} becomes {len(events)} events, and which "
                f"of its fields are personal is not known in the form in which it is stored."
            )
        return Correction(stored.type, stored.schema_version, data)
    name, version, text = codec.encode(events[0])
    # What is personal in it stands there as it is: the row that it gets into is sealed as a whole.
    return Correction(name, version, text, addressees(text))


async def store_correction(storage: Storage, subscription: str, rows: Sequence[RowChange]) -> None:
    """Commit *rows*, and refuse what workers commit that have not read them, of all generations.

    So no generation passes the event as it was, unless it has passed it already.
    """
    base, told = base_name(subscription), set[str]()
    await storage.prepare_collections([CONTROL_ROWS])
    while True:
        # One that was opened after the last look may have read nothing of the correction.
        names = {one.name for one in await storage.subscriptions() if base_name(one.name) == base}
        names -= told
        if not names and not rows:
            return
        controls = {name: await read_control(storage, name) for name in names}
        tells = [
            control.changed(name, corrected=control.corrected + 1)
            for name, control in controls.items()
        ]
        try:
            await storage.commit(Changes(rows=(*rows, *tells)))
        except ConflictError:
            continue
        told |= names
        rows = ()


def _check_object(data: str) -> None:
    try:
        value: Any = msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise SerializationError(f"The payload is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise SerializationError("The payload is no JSON object.")
