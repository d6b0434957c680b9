"""Parcels: JSON text whose personal parts are taken out and addressed to their subjects.

A text with personal parts is an object that begins with the member ``$personal``. It holds
parcels; each names the subjects it is for and the places it was taken from. The body after it
is complete: a placeholder stands wherever something was taken out, so what can't be unpacked
any more is read by leaving the parcels away.

    {"$personal":[{"to":["7"],"at":[["email"]],"key":"…","data":"…"}],"id":"7","email":"(erased)"}

What the codec writes is packed, not sealed: `plain` holds the parts as they are. That form never
leaves the process; on the way to a storage it is sealed (see `sealing`). A field of a user's can't
be mistaken for parcels: they stand at the top only, where the names are those of the record.
"""

from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

import msgspec

from headwater.errors import SerializationError
from headwater.ports.sealed import PERSONAL_HEADER, PERSONAL_PREFIX

HEADER: Final = PERSONAL_HEADER
VALUE: Final = "$value"
PREFIX: Final = PERSONAL_PREFIX
"""What a text with parcels begins with; no other text that the codec writes does."""

NULL: Final = msgspec.Raw(b"null")

Place = tuple[str | int, ...]


class Parcel(msgspec.Struct, frozen=True, omit_defaults=True):
    """Parts of a text that belong to all of the subjects `to`, and where they stood.

    Packed, `plain` holds them; sealed, `data` does, encrypted by the key named `key`.
    """

    to: tuple[str, ...]
    at: tuple[Place, ...]
    plain: tuple[msgspec.Raw, ...] = ()
    key: str = ""
    data: str = ""


Body = dict[str, msgspec.Raw]

_encode: Final = msgspec.json.Encoder().encode
_decode_body: Final = msgspec.json.Decoder(Body).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_parcels: Final = msgspec.json.Decoder(tuple[Parcel, ...]).decode


def packed(body: bytes, parcels: Collection[Parcel]) -> bytes:
    """Return the object *body* with *parcels* in front."""
    if not parcels:
        return body
    return b'{"%s":%s,%s' % (HEADER.encode(), _encode(tuple(parcels)), body[1:])


def packed_value(value: bytes, parcels: Collection[Parcel]) -> bytes:
    """Return *value*, which need not be an object, in an object with *parcels* in front."""
    return b'{"%s":%s,"%s":%s}' % (HEADER.encode(), _encode(tuple(parcels)), VALUE.encode(), value)


def for_subjects(text: str, subjects: Collection[str]) -> str:
    """Return *text*, any JSON, as one parcel to all of *subjects*.

    Stored and read back it is *text* again; ``null`` once any of them was forgotten.
    """
    if not subjects:
        return packed_value(text.encode(), ()).decode() if text.startswith(PREFIX) else text
    parcel = Parcel(tuple(sorted(subjects)), ((VALUE,),), (msgspec.Raw(text.encode()),))
    return packed_value(b"null", (parcel,)).decode()


def members_for_subjects(text: str, members: Collection[str], subjects: Collection[str]) -> str:
    """Return *text*, an object, with those of its *members* that it has in a parcel to *subjects*.

    Stored and read back it has them again, in another order; once any subject was forgotten, or
    without keys, it is read as if it had never had them.
    """
    body = _decode_body(text)
    taken = [(name, body.pop(name)) for name in members if name in body]
    if not taken or not subjects or not body:
        return text
    places = tuple((name,) for name, _ in taken)
    parcel = Parcel(tuple(sorted(subjects)), places, tuple(part for _, part in taken))
    return packed(_encode(body), (parcel,)).decode()


def emptied(text: str, subjects: Collection[str]) -> str:
    """Return *text*, which has parcels, with placeholders for those to any of *subjects*."""
    parcels, body = unfolded(text)
    return folded([each for each in parcels if not {*subjects} & {*each.to}], body)


def unfolded(text: str) -> tuple[tuple[Parcel, ...], Body]:
    """Return the parcels of *text* and its body.

    Raises:
        SerializationError: they are damaged.
    """
    try:
        body = _decode_body(text)
        return _decode_parcels(body.pop(HEADER)), body
    except (msgspec.MsgspecError, KeyError) as error:
        raise SerializationError(f"Stored personal data is damaged: {error}.") from error


def addressees(text: str) -> frozenset[str]:
    """Return the subjects of the parcels in *text*, none if it has no parcels."""
    if not text.startswith(PREFIX):
        return frozenset()
    return frozenset(subject for parcel in unfolded(text)[0] for subject in parcel.to)


def folded(parcels: Iterable[Parcel], body: Body) -> str:
    """Return the text of *body* with *parcels* in front, if there are any."""
    kept = tuple(parcels)
    if VALUE in body:
        return packed_value(bytes(body[VALUE]), kept).decode()
    return packed(_encode(body), kept).decode()


def plain(body: Body, parts: Iterable[tuple[Place, msgspec.Raw]]) -> str:
    """Return the text of *body* with *parts* put back where they were taken from.

    Raises:
        SerializationError: the body has no such place.
    """
    try:
        put_back(body, parts)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError) as error:
        raise SerializationError(f"Stored personal data fits no place: {error!r}.") from error
    return (bytes(body[VALUE]) if VALUE in body else _encode(body)).decode()


def unpacked(text: str) -> str:
    """Return the text that was packed, not sealed, as *text*.

    Raises:
        SerializationError: it is sealed: it was read from a storage that knows no keys.
    """
    parcels, body = unfolded(text)
    if any(parcel.data for parcel in parcels):
        raise SerializationError(
            "Stored personal data was read without its keys. Give the app or event store its "
            "personal_data."
        )
    parts = [part for parcel in parcels for part in zip(parcel.at, parcel.plain, strict=True)]
    return plain(body, parts)


def put_back(body: Body, parts: Iterable[tuple[Place, msgspec.Raw]]) -> None:
    """Put *parts* into *body*, each at its place."""
    deeper: dict[str, list[tuple[Place, msgspec.Raw]]] = {}
    for place, part in parts:
        name = cast("str", place[0])
        if len(place) == 1:
            body[name] = part
        else:
            deeper.setdefault(name, []).append((place[1:], part))
    for name, inner in deeper.items():
        body[name] = _put_back_within(body[name], inner)


def _put_back_within(raw: msgspec.Raw, parts: Iterable[tuple[Place, msgspec.Raw]]) -> msgspec.Raw:
    if bytes(raw).startswith(b"{"):
        body = _decode_body(raw)
        put_back(body, parts)
        return msgspec.Raw(_encode(body))
    members = _decode_list(raw)
    deeper: dict[int, list[tuple[Place, msgspec.Raw]]] = {}
    for place, part in parts:
        index = cast("int", place[0])
        if len(place) == 1:
            members[index] = part
        else:
            deeper.setdefault(index, []).append((place[1:], part))
    for index, inner in deeper.items():
        members[index] = _put_back_within(members[index], inner)
    return msgspec.Raw(_encode(members))


def part_at(body: Body, place: Place) -> Any:
    """Return what stands at *place* in *body*, as plain JSON values."""
    value: Any = msgspec.json.decode(body[cast("str", place[0])])
    for step in place[1:]:
        value = value[step]
    return value


# -------------------------------------------------------------------------- who was read of

_READ: Final[ContextVar[set[str] | None]] = ContextVar("headwater_subjects_read", default=None)


@contextmanager
def subjects_read() -> Generator[set[str]]:
    """Gather the subjects of whom something is read from storages inside.

    Who was forgotten before is not among them: of those only placeholders are read.
    """
    subjects: set[str] = set()
    token = _READ.set(subjects)
    try:
        yield subjects
    finally:
        _READ.reset(token)


def note_read(subjects: Iterable[str]) -> None:
    """Tell whoever gathers them that something of *subjects* was read."""
    gathered = _READ.get()
    if gathered is not None:
        gathered.update(subjects)
