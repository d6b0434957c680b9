"""Reading streams: all that is there, what follows on a version, and what was there at a time."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec

from headwater.clock import (
    Moment,
    Positioned,
    checked_moment,
    microseconds_since_epoch,
    moment_text,
)
from headwater.errors import HistoryUnavailableError, UnknownTypeError
from headwater.ports.log import Log, StoredEvent, StoredPayload, StreamState
from headwater.serialization.codec import EventCodec

STREAM_PAGE_EVENTS: Final = 1000
"""How many events of a stream are read at a time."""

TAIL_EVENTS: Final = 10
"""How many events are read together with the one that a known state is verified by.

A longer tail is read on without what folding does not need, which takes less than half the time.
"""


class Mark(msgspec.Struct, frozen=True):
    """A place in a stream that a known state stands for: a version, and the event there."""

    version: int
    event_id: bytes


class Stretch(msgspec.Struct, frozen=True):
    """Decoded events of a stream that follow on version `after` and end at `version`.

    `found` says that the stream has an event at or before `version`. `event_id` is that of the
    event at `version`, None where it was not read.
    """

    events: list[Any]
    after: int
    version: int
    found: bool
    event_id: bytes | None = None


class Misfit(Enum):
    """Why a known state can't be gone on from.

    REWOUND: another event stands at its version, or none ever did. ERASED: events that follow
    on it are not there any more. UNREADABLE: what was written of it is damaged.
    """

    REWOUND = "rewound"
    ERASED = "erased"
    UNREADABLE = "unreadable"


async def read_all(
    log: Log, stream_id: str, *, codec: EventCodec, upto: int | None = None
) -> Stretch:
    """Return what is there of a stream, up to version *upto* (included).

    It begins later than with version 1 where events were erased. Where none is left it is at
    version 0, as if there never were any: what it really is costs a call, and is asked for where
    it matters (see `commit_on_erased`).
    """
    while (read := await _payloads(log, stream_id, codec=codec, after=0, upto=upto)) is None:
        pass  # Each time more of it is erased, so this comes to an end.
    events, first, version = read
    return Stretch(events, max(0, first - 1), version, found=bool(version))


async def read_on(
    log: Log,
    stream_id: str,
    known: Mark,
    *,
    codec: EventCodec,
    believe: bool,
    upto: int | None = None,
) -> Stretch | Misfit:
    """Return what follows on *known*, whose event is read along and compared.

    Where that one was erased, and nothing after it, *believe* says whether it is taken to have
    been the one: what was stored with the log went back with it, what a process kept did not.
    """
    limit = TAIL_EVENTS if upto is None else min(TAIL_EVENTS, upto - known.version + 1)
    page = await log.read_stream(stream_id, from_version=known.version, limit=limit)
    if not page:
        return await _without_events(log, stream_id, known, believe=believe)
    tail = page
    if page[0].version == known.version:
        if page[0].id != known.event_id:
            return Misfit.REWOUND
        tail = page[1:]
    elif not believe or page[0].version > known.version + 1:
        return Misfit.ERASED
    if upto is not None:
        tail = tuple(stored for stored in tail if stored.version <= upto)
    events: list[Any] = []
    for stored in tail:
        events += codec.decode_all(stored.type, stored.schema_version, stored.data)
    last: StoredEvent | None = tail[-1] if tail else None
    version = last.version if last is not None else known.version
    id = last.id if last is not None else known.event_id
    if len(page) < limit or version == upto:
        return Stretch(events, known.version, version, found=True, event_id=id)
    read = await _payloads(log, stream_id, codec=codec, after=version, upto=upto)
    if read is None:
        return Misfit.ERASED
    rest, _, end = read
    end_id = id if end == version else None
    return Stretch([*events, *rest], known.version, end, found=True, event_id=end_id)


async def _payloads(
    log: Log, stream_id: str, *, codec: EventCodec, after: int, upto: int | None
) -> tuple[list[Any], int, int] | None:
    """Return the events after a version, the first version that was there, and the last.

    Return None if events were erased between two pages: what was read has a gap.
    """
    events: list[Any] = []
    first, version = 0, after
    while upto is None or version < upto:
        limit = STREAM_PAGE_EVENTS if upto is None else min(STREAM_PAGE_EVENTS, upto - version)
        page = await log.read_payloads(stream_id, from_version=version + 1, limit=limit)
        whole = len(page) < limit
        if upto is not None:
            # Where events were erased, the page goes on with later ones.
            page = [payload for payload in page if payload[0] <= upto]
        if page and version and page[0][0] != version + 1:
            return None
        if not page and version and (await log.stream_info(stream_id)).version > version:
            return None
        if page:
            first, version = first or page[0][0], page[-1][0]
            events += _decoded(page, stream_id, codec)
        if whole or not page:
            break
    return events, first, version


def _decoded(page: Sequence[StoredPayload], stream_id: str, codec: EventCodec) -> list[Any]:
    try:
        return codec.decode_payloads(page)
    except UnknownTypeError as error:
        form = error.name, error.schema_version
        version = next((v for v, *of, _ in page if tuple(of) == form), None)
        raise error.at(stream_id, version=version) from None


async def _without_events(
    log: Log, stream_id: str, known: Mark, *, believe: bool
) -> Stretch | Misfit:
    info = await log.stream_info(stream_id)
    if info.version < known.version:
        return Misfit.REWOUND
    if not believe or info.version > known.version or info.state is StreamState.TOMBSTONED:
        return Misfit.ERASED
    return Stretch([], known.version, known.version, found=True, event_id=known.event_id)


async def id_at(log: Log, stream_id: str, version: int) -> bytes | None:
    """Return the id of the event at *version*, None if it is not there."""
    page = await log.read_stream(stream_id, from_version=version, limit=1)
    return page[0].id if page and page[0].version == version else None


async def version_at(log: Log, stream_id: str, as_of: Moment, *, who: str) -> int:
    """Return the version that a stream had as of a moment; 0: it was not there yet.

    At a time it had the events that were recorded by then: `recorded_at`, which never falls
    within a log, counts, and not when they occurred. At a position of the log (a receipt has
    one) it had those up to there.

    Raises:
        HistoryUnavailableError: the stream has not come that far, or its events up to there
            were erased.
        MomentError: *as_of* can't name a version or time.
    """
    as_of = checked_moment(as_of, first=1)
    info = await log.stream_info(stream_id)
    first, last = info.first_version, info.version
    if isinstance(as_of, int):
        if 0 < last < as_of:
            problem = f"the stream {stream_id!r} is at version {last}."
            raise HistoryUnavailableError(who, as_of=f"version {as_of}", problem=problem)
        version = min(as_of, last)
    else:
        low, high = max(0, first - 1), last if first else 0
        while low < high:
            middle = (low + high + 1) // 2
            page = await log.read_stream(stream_id, from_version=middle, limit=1)
            if page and _is_by(page[0], as_of):
                low = middle
            else:
                high = middle - 1
        version = low
    if last and (not first or version < first) and (first != 1):
        problem = f"the events of {stream_id!r} up to there were erased."
        shown = moment_text(as_of, unit="version")
        raise HistoryUnavailableError(who, as_of=shown, problem=problem)
    return version


def _is_by(event: StoredEvent, moment: datetime | Positioned) -> bool:
    if isinstance(moment, datetime):
        return event.recorded_at <= microseconds_since_epoch(moment)
    return event.position <= moment.position
