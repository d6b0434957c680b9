"""Attempts: work that a policy makes again, each time in a unit of work of its own."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from headwater.errors import KeyStoreError, StorageError
from headwater.resilience import Guard
from headwater.resilience.attempts import answer_instead
from headwater.resilience.failures import leaves_of
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

    Each attempt has a child of *within* as the current unit. That of the attempt whose result
    *policy* returns is merged, the others are dropped: those that failed, those whose result a
    guard refused, and all of them where a `Fallback` answers. A result that no attempt had, as a
    guard of one's own may make it, is taken for that of the last one that ended well. *ids* makes
    the source of new events' ids for one attempt.

    What the storage raises passes every policy by, as a cancellation does, in a group too: a
    conflict makes the whole unit run again, and an outage is not a failure of what the policy
    looks after.

    Raises:
        Exception: what *policy* makes of what *work* raises, and what `UnitOfWork.merge` does.
    """
    ended: list[tuple[object, UnitOfWork]] = []

    async def attempt() -> T:
        child = within.child(ids=ids() if ids is not None else None)
        current = CURRENT_UNIT.set(child)
        # A fallback in there answers for what it stands around, not for an attempt.
        answering = answer_instead.set(None)
        try:
            result = await work(child)
            child.check_whole()
            child.seal()
        except BaseException as error:
            child.close()
            if isinstance(error, Exception) and _comes_from_the_storage(error):
                raise _PassedBy(error) from None
            raise
        finally:
            answer_instead.reset(answering)
            CURRENT_UNIT.reset(current)
        ended.append((result, child))
        return result

    attempt.__qualname__ = name
    answering = answer_instead.set(ended.clear)
    try:
        result = await policy.call(attempt)
        kept = [child for its, child in ended if its is result] or [child for _, child in ended]
        if kept:
            within.merge(kept[-1])
    except _PassedBy as passed:
        error = passed.error
    else:
        return result
    finally:
        answer_instead.reset(answering)
        for _, child in ended:
            child.close()
    raise error


def _comes_from_the_storage(error: BaseException) -> bool:
    return any(isinstance(one, StorageError | KeyStoreError) for one in leaves_of(error))


class _PassedBy(BaseException):
    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)
