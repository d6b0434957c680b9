"""What the log promises, said once more in the plainest way: lists, and looking at everything."""

from collections.abc import Sequence
from typing import NamedTuple

from headwater.ports.changes import Append, Appended, Changes, Committed, NewEvent
from headwater.ports.log import LogFilter, StoredEvent
from headwater.streams import INTERNAL_PREFIX


class Fact(NamedTuple):
    """An event that is in the log."""

    position: int
    stream_id: str
    version: int
    event: NewEvent


class Verdict(NamedTuple):
    """What becomes of the log's part of a commit: a result, or the name of the refusal."""

    refusal: str | None
    committed: Committed
    facts: list[Fact]


class LogModel:
    """Judges appends and tag conditions, and knows what every read must return."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def judge(self, changes: Changes) -> Verdict:
        """Return what *changes* would do, if nothing but the log had a say."""
        facts, repeated = list(self.facts), set[int]()
        answers: list[Appended] = []
        found: list[int | None] = []
        for append in changes.appends:
            stream = [fact for fact in facts if fact.stream_id == append.stream_id]
            ids = [event.id for event in append.events]
            if {fact.event.id for fact in facts}.intersection(ids):
                run = _run(stream, append)
                if run is None:
                    return self._refused("IdempotencyConflictError")
                repeated |= {fact.position for fact in run}
                answers.append(Appended(append.stream_id, run[-1].version, run[-1].position))
                found.append(None)
                continue
            if len(set(ids)) < len(ids):
                return self._refused("IdempotencyConflictError")
            for number, event in enumerate(append.events, len(stream) + 1):
                facts.append(Fact(len(facts) + 1, append.stream_id, number, event))
            position = len(facts) if ids else 0
            answers.append(Appended(append.stream_id, len(stream) + len(ids), position))
            found.append(len(stream))
        for append, version in zip(changes.appends, found, strict=True):
            if version is not None and not append.expected.allows(version):
                return self._refused("ConcurrencyError")
        for condition in changes.conditions:
            for fact in self.facts:
                if (
                    fact.position > condition.after
                    and fact.position not in repeated
                    and set(condition.tags) <= set(fact.event.tags)
                    and fact.event.type in (condition.types or {fact.event.type})
                ):
                    return self._refused("TagConditionError")
        position = max([answer.position for answer in answers], default=0)
        return Verdict(None, Committed(position, tuple(answers)), facts)

    def _refused(self, name: str) -> Verdict:
        return Verdict(name, Committed(), self.facts)

    def matching(self, after: int, where: LogFilter) -> list[Fact]:
        """Return all that a reader with this filter must get to see after a position."""
        return [
            fact
            for fact in self.facts
            if fact.position > after
            and (where.internal or not fact.stream_id.startswith(INTERNAL_PREFIX))
            and (not where.types or fact.event.type in where.types)
            and (not where.categories or fact.stream_id.split("-")[0] in where.categories)
            and where.tags <= set(fact.event.tags)
        ]

    def stream(
        self, stream_id: str, from_version: int | None, *, backwards: bool, limit: int
    ) -> list[Fact]:
        """Return what a read of a stream must return."""
        stream = [fact for fact in self.facts if fact.stream_id == stream_id]
        if backwards:
            stream.reverse()
        if from_version is not None:
            stream = [
                fact
                for fact in stream
                if (fact.version <= from_version if backwards else fact.version >= from_version)
            ]
        return stream[:limit]


def _run(stream: Sequence[Fact], append: Append) -> Sequence[Fact] | None:
    """Return the piece of a stream that *append* repeats, None if there is no such piece."""
    wanted = [(e.id, e.type, e.schema_version, e.data) for e in append.events]
    there = [(f.event.id, f.event.type, f.event.schema_version, f.event.data) for f in stream]
    for start in range(len(there)):
        if there[start : start + len(wanted)] == wanted:
            return stream[start : start + len(wanted)]
    return None


def facts_of(events: Sequence[StoredEvent]) -> list[tuple[object, ...]]:
    """Return of stored events what the model knows of them."""
    return [
        (e.position, e.stream_id, e.version, e.id, e.type, e.schema_version, e.data, e.tags)
        for e in events
    ]


def told(facts: Sequence[Fact]) -> list[tuple[object, ...]]:
    """Return facts in the form of `facts_of`."""
    return [
        (
            *(f.position, f.stream_id, f.version),
            *(f.event.id, f.event.type, f.event.schema_version, f.event.data, f.event.tags),
        )
        for f in facts
    ]
