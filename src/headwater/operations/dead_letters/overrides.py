"""Overrides as stored: corrected payloads that a subscription reads in the place of what the log
holds. The log stays as it is."""

from collections.abc import Collection
from hashlib import blake2b
from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row
from headwater.serialization.personal import for_subjects


class PayloadOverride(msgspec.Struct, frozen=True):
    """What `subscription` reads as the data of the event at `position`, if that is `event_id`.

    `data` is JSON text in the form of `type` and `schema_version`. `at` is when it was written, in
    microseconds since 1970 UTC.
    """

    subscription: str
    position: int
    event_id: str
    type: str
    schema_version: int
    data: str
    author: str
    reason: str
    at: int


OVERRIDES: Final = CollectionSpec(
    "headwater_payload_overrides",
    PayloadOverride.__struct_fields__,
    (
        IndexedField("subscription", IndexKind.TEXT),
        IndexedField("position", IndexKind.INTEGER),
    ),
)
"""The collection of all of them; a row's key is `override_key`."""


def base_name(subscription: str) -> str:
    """Return the name that all generations of a subscription share: what stands before the @."""
    return subscription.partition("@")[0]


def override_key(subscription: str, position: int) -> str:
    """Return the key of the row that overrides the event at *position* for *subscription*."""
    digest = blake2b(base_name(subscription).encode(errors="surrogatepass"), digest_size=10)
    return f"{digest.hexdigest()}-{position}"


def override_row(override: PayloadOverride, *, subjects: Collection[str]) -> RowChange:
    """Return the change that writes *override*, with personal data of *subjects* in it.

    Once any of them was forgotten it is gone, and what the log holds counts again.
    """
    return RowChange(
        OVERRIDES.name,
        override_key(override.subscription, override.position),
        for_subjects(msgspec.json.encode(override).decode(), subjects),
        (override.subscription, override.position),
    )


def override_of(row: Row) -> PayloadOverride | None:
    """Return what *row* tells; None if a subject of it was forgotten.

    Raises:
        SerializationError: it is not one that this code writes, or it was read without keys.
    """
    try:
        override: PayloadOverride | None = _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Override {row.key!r} can't be read: {error}. Is it written by newer code, or read "
            f"without the keys of its personal data?"
        ) from error
    return override


_decode: Final = msgspec.json.Decoder(PayloadOverride | None).decode
