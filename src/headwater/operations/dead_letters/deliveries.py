"""Held deliveries as stored: one row for each event that a subscription's checkpoint has passed
without its having been handled."""

from enum import Enum
from hashlib import blake2b
from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row
from headwater.serialization.personal import members_for_subjects

ATTEMPTS_KEPT_MAX: Final = 20
"""How many of its last attempts a held delivery remembers."""

_DIGEST_BYTES: Final = 10


class DeliveryState(Enum):
    """What a held delivery waits for.

    READY: for its turn, which is now. DELAYED: for the time at which it is tried again.
    DEAD: for an operator. WAITING: for an earlier event of its key.
    """

    READY = "ready"
    DELAYED = "delayed"
    DEAD = "dead"
    WAITING = "waiting"


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that failed: when (microseconds since 1970 UTC), and with what.

    `counted`: whether it used up one of the attempts that the subscription allows.
    """

    at: int
    error: str
    message: str
    counted: bool = True


class HeldDelivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """A delivery that is held, as its row tells it. Times are microseconds since 1970 UTC.

    `parks`: whether later events of the key wait behind it. `attempts` are the last ones,
    `counted` is how many were used up altogether, and `tries` how often its handler was called, on
    the spot too. `error`, `message`, `place` and `traceback` are
    of the last attempt, `code` is the version of the code that made it. `subjects` are those
    of whom the event holds personal data: what errors say of it is kept under their keys.
    """

    subscription: str
    key: str
    position: int
    event_id: str
    stream: str
    type: str
    state: DeliveryState
    held_at: int
    parks: bool = True
    due_at: int | None = None
    counted: int = 0
    attempts: tuple[Attempt, ...] = ()
    error: str = ""
    message: str = ""
    place: str = ""
    traceback: str = ""
    code: str = ""
    subjects: tuple[str, ...] = ()
    tries: int = 0

    @property
    def id(self) -> str:
        """What names it: `delivery_id`."""
        return delivery_id(self.subscription, self.key, self.position)

    def is_of(self, event_id: bytes) -> bool:
        """Return whether the event with this id is the one that is delivered, or a part of which
        is."""
        return event_id.hex() == self.event_id

    @property
    def group(self) -> str:
        """What it has in common with all that failed alike, at the same place; empty if it has
        not failed."""
        return group_id(self.error, self.place) if self.error else ""


DELIVERIES: Final = CollectionSpec(
    "headwater_deliveries",
    HeldDelivery.__struct_fields__,
    (
        IndexedField("subscription", IndexKind.TEXT),
        IndexedField("state", IndexKind.TEXT),
        IndexedField("position", IndexKind.INTEGER),
        IndexedField("key_id", IndexKind.TEXT),
        IndexedField("group_id", IndexKind.TEXT),
    ),
)
"""The collection of all of them; a row's key is `HeldDelivery.id`."""


def key_id(subscription: str, key: str) -> str:
    """Return what stands for a key of a subscription, however long it is: 20 hex digits."""
    return _digest(subscription, key)


def group_id(error: str, place: str) -> str:
    """Return what stands for an error and the place that it came from: 20 hex digits."""
    return _digest(error, place)


def delivery_id(subscription: str, key: str, position: int) -> str:
    """Return the id of the delivery of what *key* gets of the event at *position*."""
    return f"{_digest(subscription, key)}-{position}"


def delivery_row(held: HeldDelivery) -> RowChange:
    """Return the change that writes *held*; what it says of its subjects is theirs alone."""
    data = msgspec.json.encode(held).decode()
    data = members_for_subjects(data, ("message", "traceback", "attempts"), held.subjects)
    return RowChange(
        DELIVERIES.name,
        held.id,
        data,
        (
            held.subscription,
            held.state.value,
            held.position,
            key_id(held.subscription, held.key),
            held.group,
        ),
    )


def delivery_gone(id: str) -> RowChange:
    """Return the change that deletes the row of a delivery."""
    return RowChange(DELIVERIES.name, id, None)


def delivery_of(row: Row) -> HeldDelivery:
    """Return what *row* tells.

    Raises:
        SerializationError: it is not one that this code writes.
    """
    try:
        return _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Held delivery {row.key!r} can't be read: {error}. Is it written by newer code?"
        ) from error


def _digest(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


_decode: Final = msgspec.json.Decoder(HeldDelivery).decode
