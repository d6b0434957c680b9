"""Events that wait for the commit, as they will be read once they are stored."""

from collections.abc import Sequence
from typing import Any

from headwater.domain.state import copied
from headwater.messages import RawEvent
from headwater.serialization.codec import EventCodec
from headwater.serialization.upcasting import StoredForm

Read = Sequence[tuple[str, Any]]


def as_read(event: object, codec: EventCodec) -> Read:
    """Return the events that *event* will be read as, each with its type name.

    They are copies: a state may take over a list of an event and go on to change it. A
    `RawEvent` of a type that nobody knows here stays one.

    Raises:
        RoundTripError, SerializationError, UpcasterError: it could not be stored or read back.
    """
    registry = codec.registry
    if isinstance(event, RawEvent):
        form = StoredForm(event.type, event.schema_version)
        as_is = form not in codec.chains.steps and registry.entry_named(form.name) is None
    else:
        entry = registry.entry_of(type(event))
        form = StoredForm(entry.name, entry.version)
        as_is = form not in codec.chains.steps
    if as_is:
        return ((form.name, copied(event, {})),)
    parts: Sequence[object] = codec.decode_all(*codec.encode(event))
    return [(registry.name_of(type(part)), part) for part in parts]
