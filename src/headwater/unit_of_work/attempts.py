"""Attempts: work that a policy makes again, each time in a unit of work of its own."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from headwater.errors import KeyStoreError, StorageError
from headwater.resilience import Guard
from headwater.unit_of_work.collecting import IdSource
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork

T = TypeVar("T")


async def attempted(
    policy: Guard,
    work: Callable[[UnitOfWork], Awaitable[T]],
    *,
    within: UnitOfWork,
    name: str,
    ids: Callable[[], IdSource] | None = None,
) -> T:
    """Return what *work* returns under *policy*, which hears of it as *name*.

    Each attempt has a child of *within* as the current unit; that of the attempt which succeeds
    is merged, the others are dropped. *ids* makes the source of new events' ids for one attempt.

    What the storage raises passes every policy by, as a cancellation does: a conflict makes the
    whole unit run again, and an outage is not a failure of what the policy looks after.

    Raises:
        Exception: what *policy* makes of what *work* raises, and what `UnitOfWork.merge` does.
    """

    async def attempt() -> T:
        child = within.child(ids=ids() if ids is not None else None)
        token = CURRENT_UNIT.set(child)
        try:
            result = await work(child)
            within.merge(child)
        except (StorageError, KeyStoreError) as error:
            raise _PassedBy(error) from None
        finally:
            child.close()
            CURRENT_UNIT.reset(token)
        return result

    attempt.__qualname__ = name
    try:
        return await policy.call(attempt)
    except _PassedBy as passed:
        error = passed.error
    raise error


class _PassedBy(BaseException):
    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)
