"""Effects outside of the storage, as stored: which are begun, done, or uncertain."""

from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row

BEGUN: Final = "begun"
"""Somebody is at it, or died over it."""

DONE: Final = "done"
"""It has happened, and `StoredEffect.result` is what came of it."""

UNCERTAIN: Final = "uncertain"
"""Whoever was at it has failed, and it may have happened or not."""


class StoredEffect(msgspec.Struct, frozen=True):
    """One effect under a name and the key of what it is for.

    `begun_at` and `until` are microseconds since 1970 UTC: when it was begun first, and when
    nobody can be at it any more. `worker` is who was at it. `result` is JSON text. `problem`
    says how it failed.
    """

    name: str
    key: str
    state: str
    begun_at: int
    until: int
    worker: str
    result: str = "null"
    problem: str = ""


EFFECTS: Final = CollectionSpec(
    "headwater_effects",
    StoredEffect.__struct_fields__,
    (IndexedField("state", IndexKind.TEXT), IndexedField("begun_at", IndexKind.INTEGER)),
)
"""The collection of all of them; a row's key is `effect_key`."""


def effect_key(name: str, key: str) -> str:
    """Return the key of the row of an effect, another one for each pair."""
    return f"{len(name)}/{name}/{key}"


def effect_row(effect: StoredEffect, *, expected: int) -> RowChange:
    """Return the change that writes *effect* over the row of version *expected*."""
    return RowChange(
        EFFECTS.name,
        effect_key(effect.name, effect.key),
        msgspec.json.encode(effect).decode(),
        (effect.state, effect.begun_at),
        expected,
    )


def effect_of(row: Row) -> StoredEffect:
    """Return what *row* tells.

    Raises:
        SerializationError: it is not one that this code writes.
    """
    try:
        return _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Effect {row.key!r} can't be read: {error}. Is it written by newer code?"
        ) from error


_decode: Final = msgspec.json.Decoder(StoredEffect).decode
