"""The one task that writes: it takes what waits and has it committed as groups."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.committer import Committer
from headwater.adapters.storage.postgres.limits import (
    GROUP_BYTES_MAX,
    GROUP_COMMITS_MAX,
    GROUP_SIZE_MAX,
)
from headwater.adapters.storage.postgres.refusals import Outcome
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.writing import WritingConnection
from headwater.errors import OutcomeUnknownError, StorageClosedError, StorageError
from headwater.ports.changes import Changes, Committed

_log = logging.getLogger("headwater.storage.postgres")


class Done(Protocol):
    """Hears how many commits a group took off the queue, and the head."""

    def __call__(self, taken: int, head: int) -> None: ...


class _Waiting:
    """A commit that waits for the writer."""

    __slots__ = ("bytes", "changes", "future")

    def __init__(self, changes: Changes, size: int, future: asyncio.Future[Committed]) -> None:
        self.changes, self.bytes, self.future = changes, size, future

    @property
    def size(self) -> int:
        """How many events and rows it writes."""
        return len(self.changes.rows) + sum([len(one.events) for one in self.changes.appends])


class Writer:
    """Owns the connection that writes, and its task."""

    def __init__(
        self, settings: PostgresSettings, collections: Mapping[str, Collection], done: Done
    ) -> None:
        self._settings, self._done = settings, done
        self.connection: Final = WritingConnection(settings)
        self._committer = Committer(settings, self.connection, collections)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._taken: Sequence[_Waiting] = ()
        self._wake: asyncio.Future[None] | None = None
        self._stopping = False
        self._over: StorageError | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit what waits."""
        self._task = self._loop.create_task(self._run(), name="headwater writer")

    def submit(self, changes: Changes, size: int) -> asyncio.Future[Committed]:
        """Queue a commit of *size* bytes; cancelling the future before it is picked up removes it.

        Raises:
            StorageError: the task has ended, for whatever reason.
        """
        if self._over is not None:
            self._done(1, 0)
            raise self._refusal(self._over)
        future: asyncio.Future[Committed] = self._loop.create_future()
        self._queue.append(_Waiting(changes, size, future))
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        return future

    async def stop(self) -> None:
        """Finish what waits, then close the connection and end the task."""
        self._stopping = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        if self._task is not None:
            await asyncio.wait([self._task])
        await self.connection.close()

    def abandon(self) -> None:
        """As `stop`, where the event loop was closed and nobody can wait for it."""
        self.connection.abandon()

    async def _run(self) -> None:
        failure: Exception | None = None
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001 - all who wait get it
            _log.critical("%s: the writer has ended", self._settings.where, exc_info=error)
            failure = error
        finally:
            # Also where the loop ends and cancels all tasks: nobody is left waiting.
            self._end(failure)

    async def _work(self) -> None:
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._wake = self._loop.create_future()
                await self._wake
                continue
            group = self._group()
            self._taken = group
            picked = [one for one in group if not one.future.cancelled()]
            if picked:
                outcomes = await self._outcomes([one.changes for one in picked])
                for one, outcome in zip(picked, outcomes, strict=True):
                    _settle(one.future, outcome)
            self._taken = ()
            self._done(len(group), self._committer.head)

    def _group(self) -> list[_Waiting]:
        queue, size, bytes_ = self._queue, 0, 0
        group: list[_Waiting] = []
        while queue and len(group) < GROUP_COMMITS_MAX and size < GROUP_SIZE_MAX:
            bytes_ += queue[0].bytes
            if group and bytes_ > GROUP_BYTES_MAX:
                break
            one = queue.popleft()
            group.append(one)
            size += one.size
        return group

    async def _outcomes(self, group: Sequence[Changes]) -> Sequence[Outcome]:
        try:
            return await self._committer.commit(group)
        except Exception as error:  # noqa: BLE001 - all of the group get it
            # Of this group nothing is known for certain; those that come after it are not harmed.
            where = self._settings.where
            _log.critical("%s: a group of commits has failed", where, exc_info=error)
            problem = f"{where}: a commit failed ({error!r}). It may be stored or not: look for it."
            outcomes: list[Exception] = []
            for _ in group:
                outcomes.append(OutcomeUnknownError(problem, where=where))
                outcomes[-1].__cause__ = error
            return outcomes

    def _end(self, failure: Exception | None) -> None:
        """Answer all who still wait, now and from now on, that nobody writes any more."""
        where = self._settings.where
        self._over = StorageClosedError(f"{where}: the storage was closed.", where=where)
        if failure is not None:
            self._over = StorageError(
                f"{where}: the task that writes has ended ({failure!r}). What it was about to "
                f"commit may be stored or not. Close the storage and open it again.",
                where=where,
            )
            self._over.__cause__ = failure
        left = [*self._taken, *self._queue]
        self._taken = ()
        self._queue.clear()
        for one in left:
            _settle(one.future, self._refusal(self._over))
        self._done(len(left), 0)
        if not self._stopping:
            self.connection.drop()

    @staticmethod
    def _refusal(over: StorageError) -> StorageError:
        # One for each, because a traceback grows with every time that an error is raised.
        refusal = type(over)(str(over), where=over.where)
        refusal.__cause__ = over.__cause__
        return refusal


def _settle(future: asyncio.Future[Committed], outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, Committed):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
