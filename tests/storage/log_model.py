"""What the log promises, said once more in the plainest way: lists, and looking at everything."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headwater.ports.changes import (
    Append,
    Appended,
    Changes,
    Committed,
    NewEvent,
    StreamAction,
    StreamChange,
)
from headwater.ports.log import LogFilter, StoredEvent, StreamInfo, StreamState
from headwater.streams import INTERNAL_PREFIX


class Fact(NamedTuple):
    """An event that was appended, and may have been erased and pruned since."""

    position: int
    stream_id: str
    version: int
    event: NewEvent
    erased_at: int | None = None
    pruned: bool = False

    @property
    def there(self) -> bool:
        """Whether it can still be read."""
        return self.erased_at is None


class Verdict(NamedTuple):
    """What becomes of the log's part of a commit: a result, or the name of the refusal."""

    refusal: str | None
    committed: Committed
    facts: list[Fact]
    states: Mapping[str, StreamState]


class LogModel:
    """Judges appends, conditions and stream changes, and knows what every read must return."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.states: Mapping[str, StreamState] = {}

    def judge(self, changes: Changes, *, now: int) -> Verdict:
        """Return what *changes* would do at *now*, if nothing but the log had a say."""
        facts, repeated = list(self.facts), set[int]()
        answers: list[Appended] = []
        found: list[int | None] = []
        for append in changes.appends:
            stream = [fact for fact in facts if fact.stream_id == append.stream_id]
            ids = [event.id for event in append.events]
            if {fact.event.id for fact in facts if not fact.pruned}.intersection(ids):
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
        refusal = self._refusal(changes, found, repeated)
        if refusal is not None:
            return self._refused(refusal)
        states = dict(self.states)
        for change in changes.streams:
            state = _state_after(states.get(change.stream_id, StreamState.OPEN), change.action)
            if state is None:
                return self._refused("StreamClosedError")
            states[change.stream_id] = state
            facts = [_erased(fact, change, now) for fact in facts]
        position = max([answer.position for answer in answers], default=0)
        return Verdict(None, Committed(position, tuple(answers)), facts, states)

    def _refusal(
        self, changes: Changes, found: Sequence[int | None], repeated: set[int]
    ) -> str | None:
        """Return why appends or conditions are refused, beside their ids."""
        both = list(zip(changes.appends, found, strict=True))
        for append, version in both:
            closed = self.states.get(append.stream_id, StreamState.OPEN) is not StreamState.OPEN
            if closed and version is not None and append.events:
                return "StreamClosedError"
        for append, version in both:
            if version is not None and not append.expected.allows(version):
                return "ConcurrencyError"
        for condition in changes.conditions:
            for fact in self.facts:
                if (
                    fact.position > condition.after
                    and not fact.pruned
                    and fact.position not in repeated
                    and set(condition.tags) <= set(fact.event.tags)
                    and fact.event.type in (condition.types or {fact.event.type})
                ):
                    return "TagConditionError"
        return None

    def _refused(self, name: str) -> Verdict:
        return Verdict(name, Committed(), self.facts, self.states)

    def prune(self, *, before: int, limit: int) -> int:
        """Forget the ids of events erased before a time, and return how many."""
        old = sorted(
            (fact.erased_at, fact.position)
            for fact in self.facts
            if fact.erased_at is not None and fact.erased_at < before and not fact.pruned
        )[:limit]
        for _, position in old:
            self.facts[position - 1] = self.facts[position - 1]._replace(pruned=True)
        return len(old)

    # ------------------------------------------------------------------------------ reading

    def there(self) -> list[Fact]:
        """Return all events that can be read."""
        return [fact for fact in self.facts if fact.there]

    def id_at(self, position: int) -> bytes | None:
        """Return the id of the event at a position, None if nobody knows it."""
        if not 0 < position <= len(self.facts) or self.facts[position - 1].pruned:
            return None
        return self.facts[position - 1].event.id

    def matching(self, after: int, where: LogFilter) -> list[Fact]:
        """Return all that a reader with this filter must get to see after a position."""
        return [
            fact
            for fact in self.there()
            if fact.position > after
            and (where.internal or not fact.stream_id.startswith(INTERNAL_PREFIX))
            and (where.archived or self.states.get(fact.stream_id) is not StreamState.ARCHIVED)
            and (not where.types or fact.event.type in where.types)
            and (not where.categories or fact.stream_id.split("-")[0] in where.categories)
            and where.tags <= set(fact.event.tags)
            and (not where.tenants or fact.event.tenant in where.tenants)
        ]

    def stream(
        self, stream_id: str, from_version: int | None, *, backwards: bool, limit: int
    ) -> list[Fact]:
        """Return what a read of a stream must return."""
        stream = [fact for fact in self.there() if fact.stream_id == stream_id]
        if backwards:
            stream.reverse()
        if from_version is not None:
            stream = [
                fact
                for fact in stream
                if (fact.version <= from_version if backwards else fact.version >= from_version)
            ]
        return stream[:limit]

    def info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        stream = [fact for fact in self.facts if fact.stream_id == stream_id]
        first = min([fact.version for fact in stream if fact.there], default=0)
        state = self.states.get(stream_id, StreamState.OPEN)
        return StreamInfo(stream_id, len(stream), first, state)

    def streams(self) -> list[StreamInfo]:
        """Return all streams of which there is something to know, in order."""
        names = {fact.stream_id for fact in self.facts}
        names |= {name for name, state in self.states.items() if state is not StreamState.OPEN}
        return [self.info(name) for name in sorted(names)]


def _run(stream: Sequence[Fact], append: Append) -> Sequence[Fact] | None:
    """Return the piece of a stream that *append* repeats, None if there is no such piece."""
    for start in range(len(stream)):
        run = stream[start : start + len(append.events)]
        if len(run) == len(append.events) and all(map(_same, run, append.events)):
            return run
    return None


def _same(fact: Fact, event: NewEvent) -> bool:
    of = fact.event
    content = (of.type, of.schema_version, of.data) == (
        event.type,
        event.schema_version,
        event.data,
    )
    return of.id == event.id and not fact.pruned and (content or not fact.there)


def _state_after(state: StreamState, action: StreamAction) -> StreamState | None:
    """Return what becomes of a stream, None if that is refused."""
    gone = state is StreamState.TOMBSTONED
    return {
        StreamAction.ARCHIVE: None if gone else StreamState.ARCHIVED,
        StreamAction.RESTORE: None if gone else StreamState.OPEN,
        StreamAction.TRUNCATE: state,
        StreamAction.TOMBSTONE: StreamState.TOMBSTONED,
    }[action]


def _erased(fact: Fact, change: StreamChange, now: int) -> Fact:
    """Return what becomes of an event."""
    below = change.action is StreamAction.TRUNCATE and fact.version < change.before_version
    if fact.stream_id != change.stream_id or not fact.there:
        return fact
    if below or change.action is StreamAction.TOMBSTONE:
        return fact._replace(erased_at=now)
    return fact


def facts_of(events: Sequence[StoredEvent]) -> list[tuple[object, ...]]:
    """Return of stored events what the model knows of them."""
    return [
        (
            *(e.position, e.stream_id, e.version, e.id),
            *(e.type, e.schema_version, e.data, e.tags, e.tenant),
        )
        for e in events
    ]


def told(facts: Sequence[Fact]) -> list[tuple[object, ...]]:
    """Return facts in the form of `facts_of`."""
    return [
        (
            *(f.position, f.stream_id, f.version),
            *(f.event.id, f.event.type, f.event.schema_version, f.event.data, f.event.tags),
            f.event.tenant,
        )
        for f in facts
    ]
