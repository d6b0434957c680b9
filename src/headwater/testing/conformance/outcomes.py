"""What came of a commit, in a form in which two storages can be compared."""

from typing import TypeAlias

from headwater.errors import HeadwaterError, RowConflictError
from headwater.ports.changes import Committed

Outcome: TypeAlias = Committed | tuple[str, dict[str, object]]

_NOT_PROMISED = ("problem",)


def outcome_of(result: Committed | BaseException) -> Outcome:
    """Return a result as it is, and of a refusal its type and the values that are promised.

    A storage is free in how it numbers row versions: of those only 0 is compared.

    Raises:
        BaseException: *result* is an error, and none that a storage may refuse a commit with.
    """
    if isinstance(result, Committed):
        return result
    if not isinstance(result, HeadwaterError):
        raise result
    values = {name: value for name, value in vars(result).items() if name not in _NOT_PROMISED}
    if isinstance(result, RowConflictError):
        values |= {"expected": result.expected > 0, "actual": result.actual > 0}
    return type(result).__name__, values
