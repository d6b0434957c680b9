"""What differs between two states of a stream, and the events that made the difference."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar, cast

import msgspec

from headwater.clock import Moment
from headwater.errors import LimitExceededError, MomentError
from headwater.metadata import Recorded
from headwater.ports.log import Log
from headwater.serialization.codec import EventCodec
from headwater.serialization.envelope import recorded
from headwater.serialization.sameness import fields_of, same
from headwater.unit_of_work.folding import Attributes, Id
from headwater.unit_of_work.stream_states import StreamStates

S = TypeVar("S")

DIFFERENCE_EVENTS_MAX: Final = 10_000
"""How many events may lie between the two states of a `Difference`."""

_PAGE_EVENTS: Final = 1000


class Absent(Enum):
    """Stands for what is not there."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Changed(msgspec.Struct, frozen=True):
    """A part of the state that differs; `ABSENT` stands where there was, or is, none.

    *path* names it: ``status``, ``lines[2].quantity``, ``stock['cd-1']``; it is empty where the
    whole state is one value.
    """

    path: str
    before: Any
    after: Any


class Difference(msgspec.Struct, frozen=True):
    """What `events` after version `before`, up to version `after`, have changed."""

    stream_id: str
    before: int
    after: int
    changes: tuple[Changed, ...]
    events: tuple[Recorded[Any], ...]


async def difference(
    states: StreamStates[S],
    stream_id: str,
    id: Id,
    before: Moment,
    after: Moment | None,
    *,
    log: Log,
    codec: EventCodec,
) -> Difference:
    """Return what differs between two versions or times of a stream, `None` being now.

    *before* may be 0, or a time before the first event: the state that a stream begins with.

    Raises:
        HistoryUnavailableError: the log can't show one of the states.
        LimitExceededError: more than `DIFFERENCE_EVENTS_MAX` events lie between them.
        MomentError: one can't name a version or time, or *before* comes after *after*.
    """
    begun = before == 0 and isinstance(before, int)
    first = None if begun else await states.load_as_of(stream_id, id, before)
    last = (
        await states.load(stream_id, id)
        if after is None
        else await states.load_as_of(stream_id, id, after)
    )
    start = first.version if first is not None else 0
    if start > last.version:
        raise MomentError(before, f"it comes after {after!r} in {stream_id!r}")
    mine = states.parts(first.state) if first is not None else states.parts(states.begin(id))
    changes = tuple(changes_between(mine, states.parts(last.state)))
    events = await _events(log, stream_id, start, last.version, codec=codec)
    return Difference(stream_id, start, last.version, changes, events)


async def _events(
    log: Log, stream_id: str, after: int, upto: int, *, codec: EventCodec
) -> tuple[Recorded[Any], ...]:
    if upto - after > DIFFERENCE_EVENTS_MAX:
        raise LimitExceededError(
            f"events between two versions of {stream_id!r}",
            limit=DIFFERENCE_EVENTS_MAX,
            actual=upto - after,
        )
    events: list[Recorded[Any]] = []
    while after < upto:
        limit = min(_PAGE_EVENTS, upto - after)
        page = await log.read_stream(stream_id, from_version=after + 1, limit=limit)
        page = tuple(stored for stored in page if stored.version <= upto)
        for stored in page:
            events += [recorded(part, payload) for part, payload in codec.read(stored)]
        if not page:
            break
        after = page[-1].version
    return tuple(events)


def changes_between(before: Any, after: Any, path: str = "") -> Iterator[Changed]:
    """Yield the parts of two values that differ, the smallest that can be named."""
    if same(before, after):
        return
    parts = _parts(before, after)
    if parts is None:
        yield Changed(path, before, after)
        return
    for part, mine, other in parts:
        yield from changes_between(mine, other, f"{path}{part}".lstrip("."))


Parts = Sequence[tuple[str, Any, Any]]


def _parts(before: Any, after: Any) -> Parts | None:
    """Return the parts of two values of one kind, None where they have none to compare."""
    kind: type[Any] = before.__class__
    if kind is not type(after):
        return None
    if issubclass(kind, Mapping):
        mine, other = cast("Mapping[Any, Any]", before), cast("Mapping[Any, Any]", after)
        name = ".{}" if kind is Attributes else "[{!r}]"
        keys = dict.fromkeys([*mine, *other])
        return [(name.format(key), mine.get(key, ABSENT), other.get(key, ABSENT)) for key in keys]
    if issubclass(kind, list | tuple):
        return _members(cast("Sequence[Any]", before), cast("Sequence[Any]", after))
    names = fields_of(kind)
    if not names:
        return None
    return [(f".{name}", getattr(before, name), getattr(after, name)) for name in names]


def _members(before: Sequence[Any], after: Sequence[Any]) -> Parts:
    longer = max(len(before), len(after))
    return [
        (
            f"[{index}]",
            before[index] if index < len(before) else ABSENT,
            after[index] if index < len(after) else ABSENT,
        )
        for index in range(longer)
    ]
