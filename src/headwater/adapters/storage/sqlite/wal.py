"""Keeps the write-ahead log small."""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Final

from headwater.adapters.storage.sqlite.connections import WritingConnection
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.errors import StorageError

IDLE_SECONDS: Final = 1.0
"""After so long without a commit the write-ahead log is moved into the file and emptied."""

READERS_SECONDS: Final = 0.1
"""How long readers get to finish their page when the write-ahead log is over its size."""

LOOK_SECONDS: Final = 0.1
"""How often its size is looked at, at most. Asking for a file's size makes Linux note the time
of the next write exactly, and that made each following commit a third slower (ext4, 6.18)."""

AGAIN_SECONDS: Final = 5.0
"""How long commits go on undisturbed after a reader kept the log from being emptied."""

_log = logging.getLogger("headwater.storage.sqlite")


class WriteAheadLog:
    """The file's ``-wal``, seen from the writing connection.

    SQLite moves its pages into the file every `CHECKPOINT_PAGES` and then begins it anew, which
    bounds it as long as no reader is in the middle of a page each time. This is for the rest.
    """

    def __init__(self, connection: WritingConnection, settings: SqliteSettings) -> None:
        self._connection = connection
        self._path = Path(f"{settings.path}-wal")
        self._bytes_max = settings.wal_bytes_max
        self._dirty = True
        self._look_at = 0.0

    @property
    def idle_seconds(self) -> float | None:
        """How long to wait for a commit before `empty` is called; None if it is empty already."""
        return IDLE_SECONDS if self._dirty else None

    def committed(self) -> None:
        """Empty the log if a commit has brought it over its size."""
        self._dirty = True
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        size = self._bytes()
        if size <= self._bytes_max:
            return
        self._empty(patience_seconds=READERS_SECONDS)
        if self._dirty:
            self._look_at = now + AGAIN_SECONDS
            _log.warning(
                "%s has %d bytes: a reader holds a transaction open, so it can't be emptied",
                self._path,
                size,
            )

    def empty(self) -> None:
        """Move the log into the file and truncate it, unless a reader is in the way."""
        self._empty(patience_seconds=0)

    def _empty(self, *, patience_seconds: float) -> None:
        try:
            connection = self._connection.get()
            connection.execute(f"PRAGMA busy_timeout={int(patience_seconds * 1000)}")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute("PRAGMA busy_timeout=0")
        except (sqlite3.Error, StorageError) as error:
            # What was committed stays readable from the log; a full disk is no reason to stop.
            _log.warning("%s could not be emptied: %s", self._path, error)
            busy = 1
        self._dirty = bool(busy)

    def _bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
