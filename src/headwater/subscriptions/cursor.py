"""How far a reader of the log has come, verified with every page: a log can be rewound."""

from collections.abc import Iterable

from headwater.errors import LogRewoundError
from headwater.ports.leases import Checkpoint
from headwater.ports.log import WHOLE_LOG, Log, LogFilter, LogPage
from headwater.serialization.personal.sealed_storage import SealedStorage


class Cursor:
    """Reads the log from places on, as long as it is the log in which they were reached.

    A log that a failover or a restored backup cut short, and one that went on otherwise after
    that, would be read past silently; here it is a `LogRewoundError` in the name of *who*.
    """

    def __init__(self, log: Log, who: str) -> None:
        self._log, self._who = log, who

    async def read(self, after: Checkpoint, where: LogFilter, *, limit: int) -> LogPage:
        """Return the page after the place *after*.

        Raises:
            LogRewoundError: the log is another.
        """
        return await self._read_after(self._log, after, where, limit)

    async def verify(self, places: Iterable[Checkpoint], *, head: int) -> None:
        """Pass if all *places* are of the log whose last position is *head*.

        Raises:
            LogRewoundError: one is not.
        """
        # The last first: it tells most.
        for place in sorted(set(places), key=position_of, reverse=True):
            self._check(place, head)
            if place.event_id is not None:
                await self._read_after(self._as_stored(), place, WHOLE_LOG, 1)

    def check_head(self, place: Checkpoint, head: int) -> None:
        """Pass if a log whose last position is *head* can be the one in which *place* was reached.

        Raises:
            LogRewoundError: it ends before that.
        """
        self._check(place, head)

    def _as_stored(self) -> Log:
        # Only ids are compared. An event that can't be decrypted is the trouble of those who take
        # it, not of all.
        return self._log.inner if isinstance(self._log, SealedStorage) else self._log

    async def _read_after(
        self, log: Log, place: Checkpoint, where: LogFilter, limit: int
    ) -> LogPage:
        try:
            page = await log.read_log(
                after=place.position, after_id=place.event_id, where=where, limit=limit
            )
        except LogRewoundError as error:
            raise LogRewoundError(self._who, position=error.position, head=error.head) from error
        self._check(place, page.head)
        return page

    def _check(self, place: Checkpoint, head: int) -> None:
        if place.position > head:
            raise LogRewoundError(self._who, position=place.position, head=head)


def position_of(checkpoint: Checkpoint) -> int:
    """Return the position of *checkpoint*, to compare by."""
    return checkpoint.position
