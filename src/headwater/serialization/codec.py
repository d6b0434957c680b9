"""Events to JSON text and back, with the guarantee that they come back as they were."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol

from headwater.errors import (
    SerializationError,
    UnknownTypeError,
    UpcasterError,
)
from headwater.messages import RawEvent
from headwater.ports.log import StoredEvent, StoredPayload
from headwater.serialization.decoders import Decode, decoder_of, part_of
from headwater.serialization.personal.parcels import PREFIX, unpacked
from headwater.serialization.raw_events import raw_text, too_large
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcast_chains import HIDDEN, Part, UpcastChains
from headwater.serialization.upcasting import StoredForm, Upcaster
from headwater.serialization.value_codec import (
    NOTHING_AROUND,
    ValueCodec,
    place_of,
    written,
    written_personal,
)

EVENT_BYTES_MAX: Final = 1024 * 1024
"""The most bytes that an encoded event may have, unless the codec is told otherwise."""


class Stored(Protocol):
    """An event as a storage keeps it."""

    @property
    def type(self) -> str: ...
    @property
    def schema_version(self) -> int: ...
    @property
    def data(self) -> str: ...


class EventCodec(ValueCodec):
    """Writes events as JSON text and reads them back.

    What `encode` returns comes back from `decode` with equal content and equal types, all the
    way down, or `encode` refuses it (DESIGN, guarantee 1). Safe to use from several threads.
    """

    def __init__(
        self,
        registry: TypeRegistry,
        *,
        event_bytes_max: int = EVENT_BYTES_MAX,
        upcasters: Iterable[Upcaster] = (),
    ) -> None:
        """Read stored events through *upcasters*, a table of which is `Upcasters`."""
        super().__init__(registry)
        # Which old form held something personal, nobody knows any more.
        self.chains = UpcastChains(upcasters, private=registry.personal is not None)
        self._steps = self.chains.steps
        self.event_bytes_max = event_bytes_max
        self._decoders: dict[tuple[str, int], Decode] = {}

    def encode(self, event: object) -> tuple[str, int, str]:
        """Return the stored type name, the schema version and the JSON text of *event*.

        A `RawEvent` stands as it is. A class nobody registered is registered now.

        Raises:
            RoundTripError: the event would not come back as it is; says where.
            MessageTypeError: events of this class can't be stored at all.
            SerializationError: the data of a `RawEvent` is not JSON, not of its type, or not what
                its upcasters can read; or its type has personal fields, and not in this version.
            LimitExceededError: it has more than `event_bytes_max` bytes, or a `RawEvent` is
                nested deeper than 100.
        """
        cls = type(event)
        if cls is RawEvent:
            return self._encode_raw(event)  # type: ignore[arg-type] # its type was just compared
        entry = self.registry.entry_of(cls)
        form = entry.form
        data = written(form, event) if form.mark is None else written_personal(form, event)
        if len(data) > self.event_bytes_max:
            raise too_large(entry.name, len(data), bytes_max=self.event_bytes_max)
        return entry.name, entry.version, data.decode()

    def decode(self, type: str, schema_version: int, data: str | bytes) -> object:
        """Return the event that is stored as *data* under a type name and schema version.

        Raises:
            UnknownTypeError: no class has the name, or it has an older schema version only.
            SerializationError: *data* is not JSON or not of this type.
            UpcasterError: an upcaster failed, or made none or several events of it.
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

    def decode_all(self, type: str, schema_version: int, data: str | bytes) -> Sequence[Any]:
        """Return the events that a stored one is today: one, or what its upcasters make of it.

        Raises:
            UnknownTypeError: no class has the name (of a part), or an older version only.
            SerializationError: *data* is not JSON or not of this type.
            UpcasterError: an upcaster failed, or what it returned can't be read.
        """
        if (type, schema_version) not in self._steps:
            return (self.decode(type, schema_version, data),)
        parts = self._parts(type, schema_version, data)
        return [self._decode_part(part, type, schema_version) for part in parts]

    def decode_payloads(self, page: Iterable[StoredPayload]) -> list[Any]:
        """Return the events of a page of a stream, in order; raises as `decode_all`.

        There may be more or fewer of them than were stored: the stream's version is that of
        the last payload, not a number of events.
        """
        if not self._steps:
            decode = self.decode
            return [decode(type, version, data) for _, type, version, data in page]
        return [
            event
            for _, type, version, data in page
            for event in self.decode_all(type, version, data)
        ]

    def read(self, stored: StoredEvent) -> Sequence[tuple[StoredEvent, Any]]:
        """Return the events that *stored* is today, each with its record; raises as `decode_all`.

        The record of what upcasters made is as if it had been stored in the newest form: with
        that type, schema version and data, and an id of its own; the first part keeps the id.
        Stream, version and position are those of *stored*.
        """
        form = stored.type, stored.schema_version
        if form not in self._steps:
            try:
                decode = self._decoders.get(form) or self.decoder_for(*form)
            except UnknownTypeError as error:
                raise error.at(stored.stream_id, position=stored.position) from None
            return ((stored, decode(stored.data)),)
        return [
            (part_of(stored, part), self._decode_part(part, *form))
            for part in self._parts(*form, stored.data)
        ]

    def stored_names(self, base: type[Any]) -> frozenset[str]:
        """Return the names under which events that are read as *base* are stored.

        Those of the registered classes that are *base* or derived from it (see
        `TypeRegistry.names_of`), and those that upcasters lead from to one of them; not the
        name of a class all of whose stored events are read as another one.
        """
        names = self.registry.names_of(base)
        if not self._steps:
            return names
        candidates = {form.name for form in self._steps} | names
        return frozenset(name for name in candidates if self._leads_to(name, names))

    def newest_versions(self, names: Iterable[str]) -> dict[str, int]:
        """Return the newest schema version that can be read of each of the stored *names*."""
        newest: dict[str, int] = {}
        for name in names:
            entry = self.registry.entry_named(name)
            versions = [form.version for form in self._steps if form.name == name]
            newest[name] = max([*versions, 0 if entry is None else entry.version])
        return newest

    def passed_over(self, names: Collection[str]) -> dict[str, int]:
        """Return the newest schema version that upcasters read of each name not among *names*.

        What is stored under it becomes nothing, or nothing that those who want *names* want.
        """
        newest: dict[str, int] = {}
        for form in self._steps:
            if form.name not in names:
                newest[form.name] = max(form.version, newest.get(form.name, 0))
        return newest

    def _leads_to(self, name: str, wanted: frozenset[str]) -> bool:
        entry = self.registry.entry_named(name)
        versions = {form.version for form in self._steps if form.name == name}
        versions |= set(range(1, entry.version + 1)) if entry is not None else set()
        return any(
            final.name in wanted
            for version in versions
            for final in self.chains.finals(StoredForm(name, version))
        )

    def _parts(self, type: str, schema_version: int, data: str | bytes) -> Sequence[Part]:
        if isinstance(data, str) and data.startswith(PREFIX):
            data = unpacked(data)
        return self.chains.parts(type, schema_version, data)

    def _decode_part(self, part: Part, type: str, schema_version: int) -> object:
        try:
            return self.decode(part.name, part.version, part.data)
        except SerializationError as error:
            step = self._steps[StoredForm(type, schema_version)]
            if self.chains.private:
                problem = f"it made {part.name!r} version {part.version}, which can't be read"
                place = place_of(error.__cause__ or error)
                problem = f"{problem}{place}. {HIDDEN}"
                raise UpcasterError(type, schema_version, problem, where=step.site) from None
            raise UpcasterError(type, schema_version, str(error), where=step.site) from error

    def decoder_for(self, type: str, schema_version: int) -> Decode:
        """Return what decodes the data of one type name and schema version; raises as `decode`."""
        key = type, schema_version
        decode = self._decoders.get(key)
        if decode is None:
            decode = self._upcasting(*key) if key in self.chains else self._plain(*key)
            self._decoders[key] = decode
        return decode

    def _plain(self, type: str, schema_version: int) -> Decode:
        entry = self.registry.entry_named(type)
        if entry is None or schema_version > entry.version:
            known = None if entry is None else entry.version
            raise UnknownTypeError(type, schema_version, known)
        return decoder_of(entry, schema_version)

    def _upcasting(self, type: str, schema_version: int) -> Decode:
        def decode(data: str | bytes) -> object:
            events = self.decode_all(type, schema_version, data)
            if len(events) != 1:
                step = self._steps[StoredForm(type, schema_version)]
                problem = f"it becomes {len(events)} events where exactly one can be read"
                raise UpcasterError(type, schema_version, problem, where=step.site)
            return events[0]

        return decode

    def _encode_raw(self, event: RawEvent) -> tuple[str, int, str]:
        data = raw_text(event, bytes_max=self.event_bytes_max)
        entry = self.registry.entry_named(event.type)
        if entry is not None and entry.version == event.schema_version:
            decoder_of(entry, event.schema_version)(data)
            if entry.form.mark is not None:
                data = entry.form.mark(event.data, NOTHING_AROUND).decode()
        elif personal := self._personal_form(StoredForm(event.type, event.schema_version)):
            raise SerializationError(
                f"{event.type!r} version {event.schema_version} is read as {personal}, which has "
                f"personal fields; where they are in this form nobody knows, so they would be "
                f"stored as they are. Append it as {personal}."
            )
        elif self._is_known(event.type, event.schema_version):
            self._check_read_back(event, data)
        return event.type, event.schema_version, data

    def _is_known(self, type: str, schema_version: int) -> bool:
        entry = self.registry.entry_named(type)
        older = entry is not None and schema_version < entry.version
        return older or StoredForm(type, schema_version) in self._steps

    def _check_read_back(self, event: RawEvent, data: str) -> None:
        try:
            self.decode_all(event.type, event.schema_version, data)
        except (SerializationError, UpcasterError) as error:
            raise SerializationError(
                f"{event.type!r} version {event.schema_version} would be stored, and could not be "
                f"read: {error} Nothing was written."
            ) from error

    def _personal_form(self, form: StoredForm) -> StoredForm | None:
        """Return the newest form of an event with personal fields that *form* is or becomes."""
        for name in sorted({form.name, *(final.name for final in self.chains.finals(form))}):
            entry = self.registry.entry_named(name)
            if entry is not None and entry.form.mark is not None:
                return StoredForm(name, entry.version)
        return None
