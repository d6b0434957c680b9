"""Sealing: parcels are encrypted on their way to a storage, and decrypted on the way back."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from headwater.errors import KeyStoreError, SerializationError, SubjectForgottenError
from headwater.serialization.personal.cipher import DataKey
from headwater.serialization.personal.parcels import (
    PREFIX,
    Body,
    Parcel,
    Place,
    folded,
    note_read,
    part_at,
    plain,
    unfolded,
)
from headwater.serialization.personal.ring import KeyRing, Keys

_encode: Final = msgspec.json.Encoder().encode
_decode_parts: Final = msgspec.json.Decoder(tuple[msgspec.Raw, ...]).decode


class OfForgotten(Enum):
    """What to do with a part whose subject was forgotten, when it is to be written."""

    REFUSE = "refuse"
    """Unless it is its own placeholder, read from something erased: an event tells what was."""

    ERASE = "erase"
    """A row is made out of the log, over and over; it can't hold what the log does not."""


class Text(NamedTuple):
    """A text on its way, and what it is bound to: the row or event that it is the text of."""

    text: str
    bound_to: tuple[str, ...]


def has_parcels(text: str | None) -> bool:
    """Return whether *text* has anything to seal or to unseal."""
    return text is not None and text.startswith(PREFIX)


class Sealing:
    """Seals and unseals texts with the keys of a ring; many at once, with one look for keys."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def seal(self, texts: Sequence[Text], *, of_forgotten: OfForgotten) -> list[str]:
        """Return *texts*, all with parcels, as they are stored.

        Raises:
            SubjectForgottenError: a subject was forgotten, and *of_forgotten* says refuse.
            KeyStoreError: the keys can't be had.
        """
        unfolded_texts = [unfolded(text.text) for text in texts]
        keys = await self._keys(unfolded_texts, create=True)
        sealed: list[str] = []
        for text, (parcels, body) in zip(texts, unfolded_texts, strict=True):
            kept: list[Parcel] = []
            for parcel in parcels:
                key = _key_for(parcel, keys)
                if key is not None:
                    kept.append(_sealed(parcel, key, text))
                elif of_forgotten is OfForgotten.REFUSE and not _is_placeholder(parcel, body):
                    raise SubjectForgottenError(next(s for s in parcel.to if keys[s] is None))
            sealed.append(folded(kept, body))
        return sealed

    async def unseal(self, texts: Sequence[Text]) -> list[str]:
        """Return *texts*, all with parcels, as they were before; placeholders for the forgotten.

        Raises:
            SerializationError: a text was changed, or belongs elsewhere.
            KeyStoreError: the keys can't be had, or are others than the text was sealed with.
        """
        unfolded_texts = [unfolded(text.text) for text in texts]
        keys = await self._keys(unfolded_texts, create=False)
        note_read(subject for subject, key in keys.items() if key is not None)
        unsealed: list[str] = []
        for text, (parcels, body) in zip(texts, unfolded_texts, strict=True):
            parts: list[tuple[Place, msgspec.Raw]] = []
            for parcel in parcels:
                key = _key_for(parcel, keys)
                if key is not None:
                    parts += zip(parcel.at, _unsealed(parcel, key, text), strict=True)
            unsealed.append(plain(body, parts))
        return unsealed

    async def _keys(
        self, texts: Sequence[tuple[tuple[Parcel, ...], Body]], *, create: bool
    ) -> Keys:
        subjects = {s: None for parcels, _ in texts for parcel in parcels for s in parcel.to}
        return await self._ring.keys(subjects, create=create)


def _key_for(parcel: Parcel, keys: Keys) -> DataKey | None:
    found = [key for subject in parcel.to if (key := keys[subject]) is not None]
    return DataKey.of_all(found) if len(found) == len(parcel.to) else None


def _place(parcel: Parcel, text: Text) -> bytes:
    return _encode((text.bound_to, parcel.to, parcel.at))


def _sealed(parcel: Parcel, key: DataKey, text: Text) -> Parcel:
    data = key.seal(_encode(parcel.plain), _place(parcel, text))
    return Parcel(parcel.to, parcel.at, key=key.name, data=data)


def _unsealed(parcel: Parcel, key: DataKey, text: Text) -> tuple[msgspec.Raw, ...]:
    if parcel.plain:
        raise SerializationError(
            f"{' '.join(text.bound_to)} was never sealed: what is personal stands there as it is. "
            f"It was written past the storage that has the keys."
        )
    if parcel.key != key.name:
        raise KeyStoreError(
            f"The key of subject {' and '.join(map(repr, parcel.to))} is not the one that "
            f"{' '.join(text.bound_to)} was sealed with (key {parcel.key!r}, found {key.name!r}). "
            f"Restore the key store that belongs to this storage."
        )
    try:
        parts = _decode_parts(key.unseal(parcel.data, _place(parcel, text)))
    except SerializationError as error:
        raise SerializationError(f"{' '.join(text.bound_to)}: {error}") from error
    if len(parts) != len(parcel.at):
        raise SerializationError(f"{' '.join(text.bound_to)}: personal data fits no place.")
    return parts


def _is_placeholder(parcel: Parcel, body: Body) -> bool:
    return all(
        msgspec.json.decode(part) == part_at(body, place)
        for place, part in zip(parcel.at, parcel.plain, strict=True)
    )
