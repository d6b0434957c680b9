"""Cuts a group of commits into parts, each of which one call of one function can decide."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TypeAlias

import msgspec

from headwater.adapters.storage.postgres.row_statements import RowStatements
from headwater.ports.changes import Changes, TagCondition


class Way(Enum):
    """How the members of a part are committed: what only appends, anything, one by one."""

    APPENDING = "appending"
    TOGETHER = "together"
    EACH = "each"


class Part(msgspec.Struct):
    """Commits that follow one another, and the way they go."""

    way: Way
    members: Sequence[Changes]


_Place: TypeAlias = tuple[object, ...]


def parts_of(group: Sequence[Changes], statements: Mapping[str, RowStatements]) -> list[Part]:
    """Return *group*, in order, in parts.

    Members that touch nothing of one another's are decided together, at once. One that touches
    an event id, receipt, checkpoint, row, unique value or tag of a member before it is decided
    after that one was, as are changes of streams. Appends to one stream don't count as touching.
    """
    if all(map(only_appends, group)):
        ids = [event.id for changes in group for one in changes.appends for event in one.events]
        if len(set(ids)) == len(ids):
            return [Part(Way.APPENDING, group)]
    touched = _Touched(statements)
    parts: list[Part] = []
    for changes in group:
        apart = touched.add(changes) or bool(changes.streams)
        way = Way.EACH if apart else Way.APPENDING if only_appends(changes) else Way.TOGETHER
        if parts and (parts[-1].way is Way.EACH) is apart:
            parts[-1].members = [*parts[-1].members, changes]
            if way is Way.TOGETHER:
                parts[-1].way = way
        else:
            parts.append(Part(way, [changes]))
    return parts


def only_appends(changes: Changes) -> bool:
    """Return whether *changes* are nothing but appends of events."""
    return not (
        changes.rows
        or changes.checkpoints
        or changes.receipts
        or changes.conditions
        or changes.guards
        or changes.streams
        or changes.deadline is not None
    ) and all(append.events for append in changes.appends)


class _Touched:
    """What the members of a group touch."""

    def __init__(self, statements: Mapping[str, RowStatements]) -> None:
        self._statements = statements
        self._written: set[_Place] = set()
        self._guarded: set[_Place] = set()
        self._tags: set[str] = set()
        self._events = False

    def add(self, changes: Changes) -> bool:
        """Add what *changes* touch, and return whether it, or a part of it, was there."""
        met = any(self._may_match(condition) for condition in changes.conditions)
        written = list(self._places_written(changes))
        guarded = {("row", guard.collection, guard.key) for guard in changes.guards}
        own = set(written)
        met = met or len(own) < len(written) or not own.isdisjoint(self._written)
        met = met or not own.isdisjoint(self._guarded) or not guarded.isdisjoint(self._written)
        self._written |= own
        self._guarded |= guarded
        for append in changes.appends:
            for event in append.events:
                self._events = True
                self._tags.update(event.tags)
        return met

    def _may_match(self, condition: TagCondition) -> bool:
        return self._events and all(tag in self._tags for tag in condition.tags)

    def _places_written(self, changes: Changes) -> Iterable[_Place]:
        for append in changes.appends:
            for event in append.events:
                yield "event", event.id
        for receipt in changes.receipts:
            yield "receipt", receipt.consumer, receipt.message_id
        for move in changes.checkpoints:
            yield "checkpoint", move.subscription, move.partition
        for row in changes.rows:
            yield "row", row.collection, row.key
            if row.data is None:
                continue
            for place, _ in self._statements[row.collection].collection.unique:
                if row.indexed[place] is not None:
                    yield "value", row.collection, place, row.indexed[place]
