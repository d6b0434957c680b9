"""The cache of loaded states: copies of what was folded from the log, the last used ones."""

from collections import OrderedDict
from typing import Any, Final

import msgspec

from headwater.unit_of_work.stream_reading import Mark

CACHE_ENTRIES_MAX: Final = 1_000_000
"""The most states that one class may ask to keep."""


class Cached(msgspec.Struct):
    """A copy of a state, the place it stands for, and where the last snapshot stood then.

    `subjects` are those whose personal data went into it.
    """

    copy: Any
    at: Mark
    snapshot_at: int
    subjects: frozenset[str] = frozenset()


class StateCache:
    """Keeps up to *entries_max* copies; the one that was not used for longest goes first.

    It is no source of truth: whoever takes a copy out reads what has come since, and verifies
    the event that it stands for.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = min(entries_max, CACHE_ENTRIES_MAX)
        self._entries: OrderedDict[tuple[type, str], Cached] = OrderedDict()
        self.generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: tuple[type, str]) -> Cached | None:
        """Return what is kept under *key*, and count it as used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: tuple[type, str], entry: Cached, *, generation: int) -> None:
        """Keep *entry*, unless a later one is there, or all were dropped since *generation*."""
        if generation != self.generation:
            return
        known = self._entries.get(key)
        if known is not None and known.at.version > entry.at.version:
            return
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def note_snapshot(self, key: tuple[type, str], version: int) -> None:
        """Remember that there is a snapshot of *version*."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.snapshot_at = max(entry.snapshot_at, version)

    def drop(self, key: tuple[type, str]) -> None:
        """Forget what is kept under *key*."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything, also what is being loaded now."""
        self._entries.clear()
        self.generation += 1
