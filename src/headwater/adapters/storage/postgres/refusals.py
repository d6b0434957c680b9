"""What the functions in ``sql/`` answer, as results and errors of the port."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import msgspec

from headwater.adapters.storage.postgres.collection import Collection, index_name, not_prepared
from headwater.clock import from_microseconds
from headwater.errors import (
    CheckpointConflictError,
    ConcurrencyError,
    DeadlineExceededError,
    DuplicateValueError,
    HeadwaterError,
    IdempotencyConflictError,
    LeaseLostError,
    ReceiptExistsError,
    RowConflictError,
    StorageError,
    StreamClosedError,
    TagConditionError,
)
from headwater.ports.changes import (
    Append,
    Appended,
    Changes,
    CheckpointMove,
    Committed,
    RowChange,
)
from headwater.ports.rows import IndexedField

Outcome: TypeAlias = Committed | Exception

TOMBSTONED_ADVICE: Final = "Its events are erased for good; use another stream."

NOT_UNIQUE_ADVICE: Final = (
    "The storage keeps it unique for other code, though this code does not name it so. Once no "
    "such code is left, declare the field indexed, not unique, in one release."
)

_UNIQUE: Final = "23505"


class Answer(msgspec.Struct):
    """What came of one member that was committed by itself.

    `refused` is the kind of a refusal, `i` which part of the changes it is for; None and 0 for
    one that was accepted. The other fields hold what the error needs to tell.
    """

    appends: tuple[tuple[int, int], ...] = ()
    position: int = 0
    refused: str | None = None
    i: int = 0
    same: bool = False
    actual: int = 0
    state: str = ""
    place: int = 0
    code: str = ""
    constraint: str = ""
    values: str = ""
    told: Any = None


def outcome_of(
    changes: Changes, answer: Answer, collections: Mapping[str, Collection], *, where: str
) -> Outcome:
    """Return the result of *changes*, or the error that they are refused with."""
    if answer.refused is None:
        appended = [
            Appended(append.stream_id, version, position)
            for append, (version, position) in zip(changes.appends, answer.appends, strict=True)
        ]
        return Committed(answer.position, tuple(appended))
    if answer.refused == "failed":
        return _taken(changes, answer, collections) or _failed(answer, where)
    if answer.refused == "collection":
        return not_prepared(answer.told)
    return _refusal(changes, answer, collections)


def _taken(
    changes: Changes, answer: Answer, collections: Mapping[str, Collection]
) -> DuplicateValueError | None:
    """Return the error for a field that only other code calls unique; None for other failures."""
    if answer.code != _UNIQUE:
        return None
    for name in dict.fromkeys(row.collection for row in changes.rows):
        collection = collections[name]
        for field in collection.others:
            if index_name(name, field.name) == f'"{answer.constraint}"':
                rows = [row for row in changes.rows if row.collection == name]
                return _taken_by_one(rows, field, answer.values)
    return None


def _taken_by_one(rows: Sequence[RowChange], field: IndexedField, told: str) -> DuplicateValueError:
    """Return the error for the one of *rows* with the value that the server has *told* of."""
    found = [(row, _member(row.data, field.name)) for row in rows]
    able = [one for one in found if one[1] is not None] or found
    row, value = next((one for one in able if f"=({one[1]})" in told), able[0])
    return DuplicateValueError(row.collection, field.name, value, row.key, NOT_UNIQUE_ADVICE)


def _member(data: str | None, field: str) -> Any:
    """Return the member *field* of a row's JSON; None if there is none."""
    document = None if data is None else msgspec.json.decode(data)
    return cast("dict[str, Any]", document).get(field) if isinstance(document, dict) else None


def _failed(answer: Answer, where: str) -> Exception:
    problem = f"{where}: it can't be stored ({answer.told}, {answer.code}). Nothing was written."
    return (
        ValueError(problem) if answer.code.startswith("22") else StorageError(problem, where=where)
    )


def _refusal(
    changes: Changes, answer: Answer, collections: Mapping[str, Collection]
) -> HeadwaterError:
    i, actual = answer.i, answer.actual
    if answer.refused in ("lease", "checkpoint"):
        return _not_moved(changes.checkpoints[i], answer)
    match answer.refused:
        case "deadline":
            return DeadlineExceededError("Commit", _as_time(changes.deadline or 0))
        case "receipt":
            receipt = changes.receipts[i]
            message_id = UUID(bytes=receipt.message_id)
            if answer.same:
                return ReceiptExistsError(receipt.consumer, message_id)
            return IdempotencyConflictError("Message", message_id, "its content differs")
        case "id":
            return _known_id(changes.appends[i], answer.told)
        case "closed":
            return StreamClosedError(changes.appends[i].stream_id, answer.state)
        case "version":
            append = changes.appends[i]
            return ConcurrencyError(append.stream_id, expected=append.expected, actual=actual)
        case "condition":
            condition = changes.conditions[i]
            return TagConditionError(
                condition.tags, after=condition.after, position=answer.position
            )
        case "change":
            change = changes.streams[i]
            return StreamClosedError(change.stream_id, "tombstoned", TOMBSTONED_ADVICE)
        case "guard":
            guard = changes.guards[i]
            return RowConflictError(
                guard.collection, guard.key, expected=guard.expected, actual=actual
            )
        case "row":
            row = changes.rows[i]
            expected = row.expected or 0
            return RowConflictError(row.collection, row.key, expected=expected, actual=actual)
        case _:
            row = changes.rows[i]
            field = collections[row.collection].spec.indexed[answer.place].name
            return DuplicateValueError(row.collection, field, row.indexed[answer.place], row.key)


def _not_moved(move: CheckpointMove, answer: Answer) -> LeaseLostError | CheckpointConflictError:
    if answer.refused == "lease":
        return LeaseLostError(move.subscription, move.partition)
    return CheckpointConflictError(
        move.subscription, move.partition, expected=move.expected, actual=answer.actual
    )


def _as_time(microseconds: int) -> datetime:
    try:
        return from_microseconds(microseconds)
    except OverflowError:  # further away than a datetime can say
        return datetime.min.replace(tzinfo=UTC)


def _known_id(append: Append, told: dict[str, Any]) -> IdempotencyConflictError:
    place: int = told.get("event", 0)
    event = append.events[place]
    match told["why"]:
        case "twice":
            ids = [one.id for one in append.events]
            event = next(one for one in append.events if ids.count(one.id) > 1)
            problem = "it stands twice in one append"
        case "mixed":
            problem = "others of the same append are not"
        case "stream":
            problem = f"it stands in stream {told['stream']!r}"
        case "order":
            problem = f"it stands at version {told['version']}, in another order"
        case _:
            problem = "its type, schema version or data differ"
    return IdempotencyConflictError("Event", UUID(bytes=event.id), problem)
