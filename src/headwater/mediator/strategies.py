"""Publish strategies: how the handlers of one message run together."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from headwater.mediator.registrations import Strategy
from headwater.mediator.scopes import Call

_log = logging.getLogger("headwater")

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


def run_together(strategy: Strategy, calls: Sequence[Call]) -> Call:
    """Return what hands a message to all *calls*, for a strategy that raises what fails."""
    match strategy:
        case Strategy.SEQUENTIAL:
            return _sequential(calls)
        case Strategy.STOP_ON_FAILURE:
            return _until_failure(calls)
        case Strategy.CANCEL_SIBLINGS:
            return _cancelling(calls)
        case Strategy.PARALLEL | Strategy.ISOLATED | Strategy.BACKGROUND:
            # Isolated and background calls are wrapped one by one and raise nothing.
            return _parallel(calls)


def failures_of(message: object, failures: Sequence[Exception]) -> ExceptionGroup[Exception]:
    """Return what the publisher of *message* gets for *failures*."""
    count = "a handler" if len(failures) == 1 else f"{len(failures)} handlers"
    return ExceptionGroup(f"{count} of {type(message).__name__} failed", failures)


def _sequential(calls: Sequence[Call]) -> Call:
    async def publish(message: Any) -> None:
        failures: list[Exception] | None = None
        for call in calls:
            try:
                await call(message)
            except Exception as error:  # noqa: BLE001 - gathered for the publisher
                failures = [*failures, error] if failures else [error]
        if failures:
            raise failures_of(message, failures)

    return publish


def _until_failure(calls: Sequence[Call]) -> Call:
    async def publish(message: Any) -> None:
        try:
            for call in calls:
                await call(message)
        except Exception as error:  # noqa: BLE001 - handed to the publisher
            raise failures_of(message, [error]) from None

    return publish


def _cancelling(calls: Sequence[Call]) -> Call:
    async def publish(message: Any) -> None:
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(call(message)) for call in calls]
        except BaseExceptionGroup as failed:
            failures = [error for error in failed.exceptions if isinstance(error, Exception)]
            if len(failures) < len(failed.exceptions):
                raise
            raise failures_of(message, failures) from None
        if any(task.cancelled() for task in tasks):
            raise asyncio.CancelledError

    return publish


def _parallel(calls: Sequence[Call]) -> Call:
    async def publish(message: Any) -> None:
        spawn = _spawner()
        failures: list[Exception] = []
        tasks: list[asyncio.Task[Any]] = []
        for call in calls:
            try:
                tasks.append(spawn(call(message)))
            except Exception as error:  # noqa: BLE001 - gathered for the publisher
                failures.append(error)
        waiting = [task for task in tasks if not task.done()]
        if waiting:
            # If this is cancelled, gather cancels the tasks and waits until they have ended.
            await asyncio.gather(*waiting, return_exceptions=True)
        for task in tasks:
            if task.cancelled():
                _raise_cancelled(message, tasks)
            if (failed := task.exception()) is not None:
                failures.append(_as_exception(failed))
        if failures:
            raise failures_of(message, failures)

    return publish


def _spawner() -> Spawn:
    """Return how to start a task, eagerly where Python can: no loop turn if nothing waits."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return lambda coroutine: asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task


def _as_exception(failed: BaseException) -> Exception:
    """Return *failed*; what ends the process (KeyboardInterrupt) goes on at once."""
    if isinstance(failed, Exception):
        return failed
    raise failed


def _raise_cancelled(message: object, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Pass on that a handler was cancelled from inside; log what would be lost by that."""
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            _log.error(
                "A handler of %s failed, and another was cancelled",
                type(message).__name__,
                exc_info=task.exception(),
            )
    raise asyncio.CancelledError
