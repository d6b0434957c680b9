"""The one thread that writes: it takes what waits and has it committed as groups."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.committer import Committer, Outcome
from headwater.adapters.storage.sqlite.connections import WritingConnection, check_place
from headwater.adapters.storage.sqlite.failures import translated
from headwater.adapters.storage.sqlite.identity import FileIdentity
from headwater.adapters.storage.sqlite.schema import migrate
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.threads import answer, on_loop, settle
from headwater.adapters.storage.sqlite.wal import WriteAheadLog
from headwater.clock import Clock
from headwater.errors import StorageClosedError, StorageError
from headwater.ports.changes import Changes, Committed

GROUP_COMMITS_MAX: Final = 512
"""The most commits that share one transaction."""

GROUP_EVENTS_MAX: Final = 2_000
"""A transaction takes no more commits once it has so many events and rows, so that another
process that waits for the file gets its turn soon."""

_log = logging.getLogger("headwater.storage.sqlite")
_Result = TypeVar("_Result")
Work: TypeAlias = Callable[[sqlite3.Connection], _Result]


class Done(Protocol):
    """Hears on the event loop how many commits a group took off the queue, and the head."""

    def __call__(self, taken: int, head: int) -> None: ...


class _Waiting:
    """A commit that waits for the writer."""

    __slots__ = ("changes", "future")

    def __init__(self, changes: Changes, future: asyncio.Future[Committed]) -> None:
        self.changes, self.future = changes, future

    @property
    def size(self) -> int:
        """How many events and rows it writes, and streams it changes."""
        changes = self.changes
        events = sum([len(one.events) for one in changes.appends])
        return events + len(changes.rows) + len(changes.streams)


class _Job:
    """Something else that needs the writing connection."""

    __slots__ = ("future", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work, self.future = work, future


class _Stop:
    """Ends the thread once all that stands before it is done."""


_Item: TypeAlias = _Waiting | _Job | _Stop


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(
        self,
        settings: SqliteSettings,
        clock: Clock,
        collections: Mapping[str, Collection],
        done: Done,
        identity: FileIdentity,
    ) -> None:
        self._settings, self._clock, self._identity = settings, clock, identity
        self._collections, self._done = collections, done
        self._loop = asyncio.get_running_loop()
        # A SimpleQueue takes no Python lock, so that putting never blocks the event loop.
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._next: deque[_Job | _Stop] = deque()
        # What was taken off the queue and has not been answered yet.
        self._taken: Sequence[_Waiting | _Job] = ()
        self._over: StorageError | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def start(self, prepare: Work[_Result]) -> _Result:
        """Open the file, make or migrate the tables, and return what *prepare* returns.

        Raises:
            StorageError: it can't be used.
        """
        ready: asyncio.Future[_Result] = self._loop.create_future()
        name = f"headwater-writer-{self._settings.path.name}"
        Thread(target=self._main, args=(ready, prepare), name=name, daemon=True).start()
        try:
            return await ready
        except BaseException:
            self._queue.put(_Stop())
            raise

    def submit(self, changes: Changes) -> asyncio.Future[Committed]:
        """Queue a commit; cancelling the future before it is picked up removes it.

        Raises:
            StorageError: the thread has ended, for whatever reason.
        """
        if self._over is not None:
            self._done(1, 0)
            raise self._refusal(self._over)
        future: asyncio.Future[Committed] = self._loop.create_future()
        self._queue.put(_Waiting(changes, future))
        return future

    async def run(self, work: Work[_Result]) -> _Result:
        """Return what *work* returns, done after all that waits already.

        Raises:
            StorageError: the thread has ended, for whatever reason.
        """
        if self._over is not None:
            raise self._refusal(self._over)
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put(_Job(work, future))
        return await future

    async def stop(self) -> None:
        """Finish what waits, then close the connection and end the thread."""
        self.stop_soon()
        await asyncio.shield(self._ended)

    def stop_soon(self) -> None:
        """As `stop`, for those who can't wait because the event loop was closed."""
        self._queue.put(_Stop())

    # ------------------------------------------------------------------ on the writer's thread

    def _main(self, ready: asyncio.Future[Any], prepare: Work[Any]) -> None:
        settings = self._settings
        connection = WritingConnection(settings, self._identity)
        try:
            check_place(settings)
            migrate(connection.get(), settings)
            self._identity.remember()
            prepared = prepare(connection.get())
        except Exception as error:  # noqa: BLE001 - whoever opens the storage gets it
            seconds = settings.busy_seconds
            outcome = translated(error, settings.path, busy_seconds=seconds)
            outcome.__cause__ = error if outcome is not error else error.__cause__
            connection.close()
            answer(self._loop, ready, outcome)
            return
        answer(self._loop, ready, prepared)
        failure: BaseException | None = None
        try:
            self._work(connection)
        except BaseException as error:  # noqa: BLE001 - all who wait get it
            _log.critical("%s: the writer's thread has ended", settings.path, exc_info=error)
            failure = error
        finally:
            connection.close()
            on_loop(self._loop, self._end, failure)

    def _work(self, connection: WritingConnection) -> None:
        committer = Committer(connection, self._settings, self._clock, self._collections)
        wal = WriteAheadLog(connection, self._settings)
        while True:
            try:
                item = self._next.popleft() if self._next else self._take(wal.idle_seconds)
            except Empty:
                wal.empty()
                continue
            if isinstance(item, _Stop):
                return
            if isinstance(item, _Job):
                self._do(connection, item, committer)
                continue
            self._commit(item, committer)
            wal.committed()
            committer.give_way()

    def _take(self, idle_seconds: float | None) -> _Item:
        return self._queue.get(timeout=idle_seconds)

    def _do(self, connection: WritingConnection, job: _Job, committer: Committer) -> None:
        if job.future.cancelled():
            return
        self._taken = (job,)
        try:
            outcome = job.work(connection.get())
        except Exception as error:  # noqa: BLE001 - the caller gets it
            connection.roll_back()
            outcome = committer.translated(error)
        answer(self._loop, job.future, outcome)
        self._taken = ()

    def _commit(self, first: _Waiting, committer: Committer) -> None:
        outcomes: Sequence[Outcome]
        self._taken = (first,)
        try:
            committer.begin()
        except Exception as error:  # noqa: BLE001 - the callers get it
            group = self._group(first)
            picked = group
            outcomes = [committer.translated(error) for _ in group]
        else:
            # Taken only now: whoever came while the file was locked shares the transaction.
            group = self._group(first)
            picked = [one for one in group if not one.future.cancelled()]
            outcomes = committer.commit([one.changes for one in picked])
        on_loop(self._loop, self._settle, picked, outcomes, len(group), committer.head or 0)
        self._taken = ()

    def _group(self, first: _Waiting) -> list[_Waiting]:
        group, size = [first], first.size
        self._taken = group
        while len(group) < GROUP_COMMITS_MAX and size < GROUP_EVENTS_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(item, _Waiting):
                self._next.append(item)
                break
            group.append(item)
            size += item.size
        return group

    # --------------------------------------------------------------------- on the event loop

    def _settle(
        self, group: Sequence[_Waiting], outcomes: Sequence[Outcome], taken: int, head: int
    ) -> None:
        for one, outcome in zip(group, outcomes, strict=True):
            settle(one.future, outcome)
        self._done(taken, head)

    def _end(self, failure: BaseException | None) -> None:
        """Answer all who still wait, now and from now on, that nobody writes any more."""
        where = str(self._settings.path)
        self._over = StorageClosedError(f"{where}: the storage was closed.", where=where)
        if failure is not None:
            self._over = StorageError(
                f"{where}: the thread that writes has ended ({failure!r}). What it was about to "
                f"commit may be stored or not. Close the storage and open it again.",
                where=where,
            )
        self._over.__cause__ = failure
        left: list[_Item] = [*self._taken, *self._next]
        while not self._queue.empty():
            left.append(self._queue.get_nowait())
        for item in left:
            if not isinstance(item, _Stop):
                settle(item.future, self._refusal(self._over))
        self._done(sum(isinstance(item, _Waiting) for item in left), 0)
        settle(self._ended, None)

    @staticmethod
    def _refusal(over: StorageError) -> StorageError:
        # One for each, because a traceback grows with every time that an error is raised.
        refusal = type(over)(str(over), where=over.where)
        refusal.__cause__ = over.__cause__
        return refusal
