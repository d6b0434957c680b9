"""What a verification finds, counted by kind and kept up to a limit."""

from collections import Counter
from enum import Enum
from typing import Final

import msgspec

FINDINGS_MAX: Final = 1000
"""So many findings are kept; the rest is counted."""


class Problem(Enum):
    """What can be wrong with a log."""

    POSITION = "a position is not above that of the event before it"
    TIME = "recorded_at is below that of the event before it"
    VERSION = "a version is missing or stands twice in its stream"
    ID = "an event's id stands twice in the log"
    HEAD = "the head is below the last event"
    STREAM = "what is known of a stream does not fit its events"
    TAG = "the index of tags does not fit the events' tags"
    JSON = "the data is no JSON"
    UNKNOWN_TYPE = "no class is known for the type"
    PERSONAL = "what is personal can't be decrypted with these keys"
    PAYLOAD = "the data can't be read as its type"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (position 0: nowhere in particular) and what was found."""

    problem: Problem
    position: int
    stream_id: str
    detail: str


class Findings:
    """Collects findings; an unknown type is kept once, however many events have it.

    With *every*, each of its events is kept.
    """

    def __init__(self, *, every: bool = False) -> None:
        self._every = every
        self.kept: list[Finding] = []
        self.counts: Counter[Problem] = Counter()
        self._types: set[str] = set()

    def add(self, problem: Problem, detail: str, *, position: int = 0, stream_id: str = "") -> None:
        """Count a finding, and keep it if there is room."""
        self.counts[problem] += 1
        if problem is Problem.UNKNOWN_TYPE and not self._every:
            if detail in self._types:
                return
            self._types.add(detail)
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(Finding(problem, position, stream_id, detail))
