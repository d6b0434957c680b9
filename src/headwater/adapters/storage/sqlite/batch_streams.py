"""Streams that are archived, restored, truncated or tombstoned, as a batch sees them."""

import sqlite3
from collections.abc import Iterable
from typing import Final

from headwater.adapters.storage.sqlite.batch_log import Staged
from headwater.adapters.storage.sqlite.journal import Journal
from headwater.errors import StreamClosedError
from headwater.ports.changes import StreamAction, StreamChange
from headwater.ports.log import StreamState

_KEEP_ERASED: Final = (
    "INSERT INTO headwater_erased (position, stream_id, version, id, type, tags, erased_at) "
    "SELECT position, stream_id, version, id, type, tags, ? FROM headwater_events "
    "WHERE stream_id = ? AND version < ?"
)
_ERASE: Final = "DELETE FROM headwater_events WHERE stream_id = ? AND version < ?"
_MARK: Final = "UPDATE headwater_events SET archived = ? WHERE stream_id = ? AND archived != ?"
_KEEP_STATE: Final = (
    "INSERT INTO headwater_streams (stream_id, version, state) VALUES (?, ?, ?) "
    "ON CONFLICT (stream_id) DO UPDATE SET version = excluded.version, state = excluded.state"
)
_FORGET_STATE: Final = "DELETE FROM headwater_streams WHERE stream_id = ?"


class StreamsOverlay:
    """Stages stream changes in arrival order; `write` does what came of all of them."""

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        journal: Journal,
        stored: Iterable[tuple[str, str]],
        *,
        now: int,
    ) -> None:
        """Begin with the *stored* states; a stream that is not among them is open."""
        self._cursor, self._journal, self._now = cursor, journal, now
        self._states = {stream_id: StreamState(state) for stream_id, state in stored}
        self._versions: dict[str, int] = {}
        self.erased_below: Final[dict[str, int]] = {}

    def check_open(self, staged: Staged) -> None:
        """Pass if the append brings nothing new, or its stream takes events.

        Raises:
            StreamClosedError: it does not.
        """
        if not self._states or not staged.append.events or staged.repeated:
            return
        stream_id = staged.append.stream_id
        state = self._states.get(stream_id, StreamState.OPEN)
        if state is not StreamState.OPEN:
            raise StreamClosedError(stream_id, state.value)

    def stage(self, change: StreamChange, *, version: int) -> None:
        """Note what becomes of a stream that is at *version*.

        Raises:
            StreamClosedError: it is tombstoned, and can be neither archived nor restored.
        """
        stream_id, action, put = change.stream_id, change.action, self._journal.put
        erase_below = min(change.before_version, version + 1)
        if action in (StreamAction.ARCHIVE, StreamAction.RESTORE):
            if self._states.get(stream_id) is StreamState.TOMBSTONED:
                advice = "Its events are erased for good; use another stream."
                raise StreamClosedError(stream_id, StreamState.TOMBSTONED.value, advice)
            archived = action is StreamAction.ARCHIVE
            state = StreamState.ARCHIVED if archived else StreamState.OPEN
            put(self._states, stream_id, state)
        elif action is StreamAction.TOMBSTONE:
            put(self._states, stream_id, StreamState.TOMBSTONED)
            erase_below = version + 1
        if action in (StreamAction.TRUNCATE, StreamAction.TOMBSTONE):
            below = max(erase_below, self.erased_below.get(stream_id, 0))
            put(self.erased_below, stream_id, below)
        put(self._versions, stream_id, version)

    def write(self) -> None:
        """Erase and mark events, the batch's own among them, and keep what the streams are."""
        execute = self._cursor.execute
        for stream_id, version in self._versions.items():
            below = self.erased_below.get(stream_id, 0)
            if below > 1:
                erase_below(self._cursor, stream_id, below, now=self._now)
            state = self._states.get(stream_id, StreamState.OPEN)
            archived = state is StreamState.ARCHIVED
            execute(_MARK, (archived, stream_id, archived))
            if version or state is not StreamState.OPEN:
                keep_state(self._cursor, stream_id, version, state)
            else:
                execute(_FORGET_STATE, (stream_id,))


def erase_below(cursor: sqlite3.Cursor, stream_id: str, version: int, *, now: int) -> None:
    """Erase the events of a stream below *version*; what keeps them from coming again stays."""
    cursor.execute(_KEEP_ERASED, (now, stream_id, version))
    cursor.execute(_ERASE, (stream_id, version))


def keep_state(cursor: sqlite3.Cursor, stream_id: str, version: int, state: StreamState) -> None:
    """Note that a stream has come to *version* and is in *state*, whatever events it has."""
    cursor.execute(_KEEP_STATE, (stream_id, version, state.value))
