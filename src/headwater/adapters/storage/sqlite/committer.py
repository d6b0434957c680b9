"""Commits groups on the writing connection."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from headwater.adapters.storage.sqlite.batch import Batch
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.connections import WritingConnection, until_free
from headwater.adapters.storage.sqlite.failures import translated
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.clock import Clock, microseconds_since_epoch
from headwater.ports.changes import Changes, Committed

CONTENDED_SECONDS: Final = 1.0
"""For so long after another process wrote, each transaction is followed by a pause."""

YIELD_SECONDS: Final = 0.004
"""The pause. Others ask for the lock at least once within `RETRY_SECONDS_MAX`, half of it."""

Outcome: TypeAlias = Committed | Exception


class Committer:
    """One transaction per group; if it fails unforeseen, one per member."""

    def __init__(
        self,
        connection: WritingConnection,
        settings: SqliteSettings,
        clock: Clock,
        collections: Mapping[str, Collection],
    ) -> None:
        self._connection, self._settings, self._clock = connection, settings, clock
        self._collections = collections
        self._contended_until = 0.0
        self.head: int | None = None

    def begin(self) -> None:
        """Open a transaction for writing, waiting for the file while others hold it.

        Raises:
            StorageError: it was locked for too long, or can't be written.
        """
        try:
            # Something may have left one open that it could not roll back.
            self._connection.roll_back()
            connection = self._connection.get()
            until_free(lambda: connection.execute("BEGIN IMMEDIATE"), self._settings.busy_seconds)
        except sqlite3.Error as error:
            raise self.translated(error) from error

    def commit(self, group: Sequence[Changes]) -> list[Outcome]:
        """Commit *group* in the open transaction and return what came of each member."""
        if not group:
            self._connection.roll_back()
            return []
        try:
            return list(self._apply(group))
        except Exception as error:  # noqa: BLE001 - a member's outcome says what happened
            self._connection.roll_back()
            if len(group) == 1:
                return [self.translated(error)]
        return [self._alone(changes) for changes in group]

    def give_way(self) -> None:
        """Leave the file alone for a moment, if another process has written lately.

        Who has just committed is awake and would take the lock again before the others, who
        sleep between two attempts, come to try.
        """
        if time.monotonic() < self._contended_until:
            time.sleep(YIELD_SECONDS)

    def translated(self, error: Exception) -> Exception:
        """Return the library's error for what the driver raised."""
        path, seconds = self._settings.path, self._settings.busy_seconds
        outcome = translated(error, path, busy_seconds=seconds)
        if outcome is not error:
            outcome.__cause__ = error
        return outcome

    def _alone(self, changes: Changes) -> Outcome:
        try:
            self.begin()
            (outcome,) = self._apply([changes])
        except Exception as error:  # noqa: BLE001 - the member's outcome says what happened
            self._connection.roll_back()
            return self.translated(error)
        return outcome

    def _apply(self, group: Sequence[Changes]) -> Sequence[Outcome]:
        now = microseconds_since_epoch(self._clock.now())
        connection = self._connection.get()
        batch = Batch(connection, group, now=now, collections=self._collections)
        if self.head is not None and batch.head_before != self.head:
            self._contended_until = time.monotonic() + CONTENDED_SECONDS
        self.head = batch.head_before
        outcomes = batch.apply()
        connection.execute("COMMIT")
        self.head = batch.head
        return outcomes
