"""Suspects as stored: the events that workers may have died over, and how often."""

from hashlib import blake2b
from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, Row


class Suspect(msgspec.Struct, frozen=True):
    """The event that a partition's worker has begun alone as its last one, and how often.

    `delivery` is the id of the held delivery that it was, empty if it came from the log.
    """

    subscription: str
    partition: int
    position: int
    begun: int
    delivery: str = ""


SUSPECTS: Final = CollectionSpec("headwater_suspects", Suspect.__struct_fields__)
"""The collection of all of them; a row's key is `suspect_key`."""


def suspect_key(subscription: str, partition: int) -> str:
    """Return the key of the row of a partition."""
    digest = blake2b(subscription.encode(errors="surrogatepass"), digest_size=10).hexdigest()
    return f"{digest}-{partition}"


def suspect_row(suspect: Suspect) -> RowChange:
    """Return the change that writes *suspect*."""
    key = suspect_key(suspect.subscription, suspect.partition)
    return RowChange(SUSPECTS.name, key, msgspec.json.encode(suspect).decode())


def suspect_gone(subscription: str, partition: int) -> RowChange:
    """Return the change that deletes the suspect of a partition."""
    return RowChange(SUSPECTS.name, suspect_key(subscription, partition), None)


def suspect_of(row: Row) -> Suspect:
    """Return what *row* tells.

    Raises:
        SerializationError: it is not one that this code writes.
    """
    try:
        return _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Suspect {row.key!r} can't be read: {error}. Is it written by newer code?"
        ) from error


_decode: Final = msgspec.json.Decoder(Suspect).decode
