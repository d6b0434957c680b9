"""What came of a commit, in a form in which two storages can be compared."""

from typing import TypeAlias

from headwater.errors import (
    HeadwaterError,
    IdempotencyConflictError,
    RowConflictError,
    StreamClosedError,
)
from headwater.ports.changes import Committed

Outcome: TypeAlias = Committed | tuple[str, dict[str, object]]


def outcome_of(result: Committed | BaseException) -> Outcome:
    """Return a result as it is, and of a refusal its type and the values that are promised.

    A storage is free in how it numbers row versions: of those only 0 is compared. It is also
    free in which of several ids it names that conflict, and in the advice that it gives.

    Raises:
        BaseException: *result* is an error, and none that a storage may refuse a commit with.
    """
    if isinstance(result, Committed):
        return result
    if not isinstance(result, HeadwaterError):
        raise result
    values: dict[str, object] = dict(vars(result))
    match result:
        case RowConflictError():
            values |= {"expected": result.expected > 0, "actual": result.actual > 0}
        case IdempotencyConflictError():
            values = {"what": result.what}
        case StreamClosedError():
            values = {"stream_id": result.stream_id, "state": result.state}
        case _:
            pass
    return type(result).__name__, values
