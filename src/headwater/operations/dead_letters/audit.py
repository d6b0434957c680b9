"""The audit: what was done with held deliveries, by whom and why. Nothing in it ever changes."""

from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ids import new_id
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row

REASON_CHARS_MAX: Final = 2000
"""The most characters of a reason, and of the name of who gives it."""

WORKER: Final = "headwater"
"""Who did what no operator did: the worker of the partition."""


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was done: `at` (microseconds since 1970 UTC), by whom, and what with.

    `delivery` is the id of the one it was done with; of what was asked for many there is an entry
    for each.
    """

    at: int
    by: str
    action: str
    subscription: str
    delivery: str
    key: str
    position: int
    reason: str = ""


AUDIT: Final = CollectionSpec(
    "headwater_audit",
    AuditEntry.__struct_fields__,
    (
        IndexedField("at", IndexKind.INTEGER),
        IndexedField("subscription", IndexKind.TEXT),
        IndexedField("delivery", IndexKind.TEXT),
    ),
)
"""The collection of all entries. Their rows' keys sort as they were written by one process."""


def audit_row(entry: AuditEntry) -> RowChange:
    """Return the change that writes *entry*."""
    return RowChange(
        AUDIT.name,
        new_id().hex,
        msgspec.json.encode(entry).decode(),
        (entry.at, entry.subscription, entry.delivery),
    )


def audit_entry_of(row: Row) -> AuditEntry:
    """Return what *row* tells.

    Raises:
        SerializationError: it is not one that this code writes.
    """
    try:
        return _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Audit entry {row.key!r} can't be read: {error}. Is it written by newer code?"
        ) from error


_decode: Final = msgspec.json.Decoder(AuditEntry).decode
