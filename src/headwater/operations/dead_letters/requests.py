"""Requests of operators as stored: what the worker of a partition is to do with a held delivery.

Only the worker that has the lease of a partition changes what is held there; so an operator
writes what is wanted, and the worker does it under its token.
"""

from enum import Enum
from typing import Final

import msgspec

from headwater.errors import SerializationError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind, Row


class RequestAction(Enum):
    """What is to be done: hand the event over again, or give up its delivery."""

    REPLAY = "replay"
    DISCARD = "discard"


class DeliveryRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be done with one delivery. Times are microseconds since 1970 UTC.

    `held_at` is that of the delivery which was seen: another one under its id is not meant.
    `together` names all that were asked for at once; with `stop_on_failure`, those that are left
    are dropped when one fails. It is done at `not_before`, which spreads many over time.
    """

    delivery: str
    subscription: str
    key: str
    position: int
    held_at: int
    action: RequestAction
    by: str
    at: int
    together: str
    not_before: int = 0
    reason: str = ""
    stop_on_failure: bool = False


REQUESTS: Final = CollectionSpec(
    "headwater_delivery_requests",
    DeliveryRequest.__struct_fields__,
    (
        IndexedField("subscription", IndexKind.TEXT),
        IndexedField("not_before", IndexKind.INTEGER),
        IndexedField("together", IndexKind.TEXT),
    ),
)
"""The collection of all of them. A row's key is the delivery's id: asked for twice, it is done
once, as it was asked for last."""


def request_row(request: DeliveryRequest) -> RowChange:
    """Return the change that writes *request*."""
    return RowChange(
        REQUESTS.name,
        request.delivery,
        msgspec.json.encode(request).decode(),
        (request.subscription, request.not_before, request.together),
    )


def request_gone(delivery: str) -> RowChange:
    """Return the change that deletes what was asked for a delivery."""
    return RowChange(REQUESTS.name, delivery, None)


def request_of(row: Row) -> DeliveryRequest:
    """Return what *row* tells.

    Raises:
        SerializationError: it is not one that this code writes.
    """
    try:
        return _decode(row.data)
    except msgspec.MsgspecError as error:
        raise SerializationError(
            f"Request {row.key!r} can't be read: {error}. Is it written by newer code?"
        ) from error


_decode: Final = msgspec.json.Decoder(DeliveryRequest).decode
