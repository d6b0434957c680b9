"""Recorded events, before they are stored."""

from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from headwater.domain.aggregate import Aggregate

RECORDERS: Final[ContextVar["list[Aggregate[Any]] | None"]] = ContextVar(
    "headwater_recorders", default=None
)
"""Where aggregates that record are noted, so that a unit of work finds those it was not given."""


class Pending(msgspec.Struct, frozen=True):
    """A recorded event that is not stored yet; without a time of its own it gets the commit's."""

    event: Any
    occurred_at: datetime | None = None
    tags: tuple[str, ...] = ()
