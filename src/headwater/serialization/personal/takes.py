"""Takes: what takes the personal parts out of one JSON value, by the shape of its type."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from headwater.errors import SerializationError
from headwater.serialization.personal.parcels import NULL, Body, Parcel, Place

SUBJECT_CHARS_MAX: Final = 500
"""The most characters that the id of a subject may have."""

_encode: Final = msgspec.json.Encoder().encode
_decode_body: Final = msgspec.json.Decoder(Body).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_subject: Final = msgspec.json.Decoder(str | int | None).decode

Around = Mapping[str, str]


class Taken:
    """What is being taken out of one text, by subject."""

    def __init__(self, around: Around) -> None:
        self.around = around
        self._parts: dict[str, list[tuple[Place, msgspec.Raw]]] = {}

    def take(self, subject: str, place: Place, part: msgspec.Raw) -> None:
        """Take *part* of *subject* out of *place*."""
        self._parts.setdefault(subject, []).append((place, part))

    def parcels(self) -> list[Parcel]:
        """Return a parcel per subject."""
        return [
            Parcel((subject,), tuple(p for p, _ in parts), tuple(raw for _, raw in parts))
            for subject, parts in self._parts.items()
        ]


Take = Callable[[msgspec.Raw, Place, Taken], msgspec.Raw]
"""Takes the personal parts out of one JSON value; returns the value with placeholders."""


class Marked(NamedTuple):
    """A personal field: its names in Python and JSON, its subject's, and its placeholder."""

    name: str
    stored: str
    subject: str
    around: bool
    erased: msgspec.Raw


class RecordTake:
    """Takes the marked fields out of the object of one record class."""

    def __init__(self, name: str, may_omit: bool) -> None:  # noqa: FBT001 - what the class does
        self.name, self.may_omit = name, may_omit
        self.marked: list[Marked] = []
        self.nested: dict[str, Take] = {}

    def __call__(self, raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        body = _decoded(_decode_body, raw, self.name)
        for stored, take in self.nested.items():
            if stored in body:
                body[stored] = take(body[stored], (*place, stored), taken)
            else:
                self._check_omitted(stored)
        for field in self.marked:
            part = body.get(field.stored)
            if part is None:
                self._check_omitted(field.stored)
                continue
            subject = self._subject(body, field, taken.around)
            if subject is not None:
                taken.take(subject, (*place, field.stored), part)
                body[field.stored] = field.erased
            elif bytes(part) != b"null":
                raise SerializationError(
                    f"{self.name}.{field.name} is personal, but {field.subject!r} does not say "
                    f"whose it is."
                )
        return msgspec.Raw(_encode(body))

    def _subject(self, body: Body, field: Marked, around: Around) -> str | None:
        if field.around:
            subject: str | int | None = around.get(field.subject)
        else:
            try:
                subject = _decode_subject(body.get(field.subject, NULL))
            except msgspec.MsgspecError as error:
                raise SerializationError(
                    f"{self.name}.{field.subject} is no text or integer, so it can't say whose "
                    f"{field.name!r} is."
                ) from error
        if subject is None or subject == "":
            return None
        return checked_subject(str(subject))

    def _check_omitted(self, stored: str) -> None:
        # A Struct leaves out defaults and what is UNSET. Elsewhere it would mean that somebody's
        # own serializer calls the field something else, and it would be stored for all to read.
        if not self.may_omit:
            raise SerializationError(
                f"{self.name}: its personal field {stored!r} is not found in its JSON."
            )


def checked_subject(subject: str) -> str:
    """Return *subject* if it can be a subject's id.

    Raises:
        SerializationError: it is empty, longer than `SUBJECT_CHARS_MAX`, or holds a NUL.
    """
    if "\0" in subject:
        raise SerializationError("A subject's id holds no NUL character.")
    if not 0 < len(subject) <= SUBJECT_CHARS_MAX:
        raise SerializationError(
            f"A subject's id has 1 to {SUBJECT_CHARS_MAX} characters, not {len(subject)}."
        )
    return subject


def _decoded(decode: Callable[[msgspec.Raw], Any], raw: msgspec.Raw, where: str) -> Any:
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        # Without the cause: its text may show what is personal.
        raise SerializationError(
            f"{where}: its JSON has another shape than its fields say, so its personal parts are "
            f"not found."
        ) from None


def members(take: Take) -> Take:
    """Take the parts out of every member of an array."""

    def all_of(raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        members: Iterable[msgspec.Raw] = _decoded(_decode_list, raw, "An array")
        return msgspec.Raw(
            _encode([take(one, (*place, i), taken) for i, one in enumerate(members)])
        )

    return all_of


def members_at(takes: Mapping[int, Take]) -> Take:
    """Take the parts out of the members of an array that stand at some places."""

    def some_of(raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        members = _decoded(_decode_list, raw, "An array")
        for index, take in takes.items():
            members[index] = take(members[index], (*place, index), taken)
        return msgspec.Raw(_encode(members))

    return some_of


def entries(take: Take) -> Take:
    """Take the parts out of the values of an object whose names are data."""

    def all_of(raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        body = _decoded(_decode_body, raw, "An object")
        return msgspec.Raw(
            _encode({key: take(one, (*place, key), taken) for key, one in body.items()})
        )

    return all_of


def unless_null(take: Take) -> Take:
    """Take the parts out of a value that may be null."""

    def perhaps(raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        return raw if bytes(raw) == b"null" else take(raw, place, taken)

    return perhaps


def by_tag(tag_field: str, takes: Mapping[str | int, Take]) -> Take:
    """Take the parts out of a record of a union, told by its tag."""

    def tagged(raw: msgspec.Raw, place: Place, taken: Taken) -> msgspec.Raw:
        if not bytes(raw).startswith(b"{"):
            return raw
        tag = msgspec.json.decode(_decoded(_decode_body, raw, "A record")[tag_field])
        take = takes.get(tag)
        return raw if take is None else take(raw, place, taken)

    return tagged
