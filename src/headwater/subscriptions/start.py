"""Where a new subscription begins in the log."""

from datetime import datetime
from typing import Final

import msgspec

from headwater.clock import microseconds_since_epoch
from headwater.errors import MomentError
from headwater.ports.log import WHOLE_LOG, Log, StoredEvent


class Start(msgspec.Struct, frozen=True):
    """Where a subscription begins when it is stored for the first time; later it goes on.

    Made by `beginning`, `end`, `position` and `time`.
    """

    at: int | datetime | None = 1

    @staticmethod
    def beginning() -> "Start":
        """Begin with the first event that is still in the log."""
        return BEGINNING

    @staticmethod
    def end() -> "Start":
        """Begin with what is appended after the subscription was first opened."""
        return END

    @staticmethod
    def position(position: int) -> "Start":
        """Begin with the event at *position*, counted from 1; at the end where there is none yet.

        Raises:
            MomentError: *position* is below 1.
        """
        if position < 1:
            raise MomentError(position, "positions count from 1")
        return Start(position)

    @staticmethod
    def time(moment: datetime) -> "Start":
        """Begin with the first event that was recorded at *moment*, an aware datetime, or later;
        at the end where there is none yet.

        Raises:
            MomentError: *moment* has no time zone.
        """
        if moment.tzinfo is None:
            raise MomentError(moment, "it has no time zone")
        return Start(moment)

    async def after(self, log: Log) -> int:
        """Return the position in *log* after which to begin."""
        if isinstance(self.at, datetime):
            return await _position_by(log, microseconds_since_epoch(self.at) - 1)
        if self.at == 1:
            return 0
        head = await log.head()
        return head if self.at is None else min(self.at - 1, head)


BEGINNING: Final = Start()
END: Final = Start(None)


async def position_at(log: Log, moment: datetime) -> int:
    """Return the position of the last event that was recorded by *moment*, 0 if there is none.

    `recorded_at` never falls within a log, so a few pages of one event find it.

    Raises:
        ValueError: *moment* has no time zone.
    """
    return await _position_by(log, microseconds_since_epoch(moment))


async def _position_by(log: Log, latest: int) -> int:
    low, high = 0, await log.head()
    while low < high:
        middle = (low + high) // 2
        event = await _first_after(log, middle, upto=high)
        if event is not None and event.recorded_at <= latest:
            low = event.position
        else:
            # Where only erased ones stand in between, it makes no difference which is taken.
            high = middle
    return low


async def _first_after(log: Log, position: int, *, upto: int) -> StoredEvent | None:
    """Return the first event in (*position*, *upto*] that is still there."""
    while position < upto:
        page = await log.read_log(after=position, where=WHOLE_LOG, limit=1)
        if page.events:
            return page.events[0] if page.events[0].position <= upto else None
        position = page.scanned_to
    return None
