"""Writes down, for operators elsewhere, why this worker can't work a subscription as it should."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from headwater.clock import Clock, microseconds_since_epoch
from headwater.errors import StorageError
from headwater.operations.worker_reports import (
    REPORTS,
    WorkerReport,
    report_gone,
    report_row,
    reports_on,
)
from headwater.ports.changes import Changes, RowChange
from headwater.ports.storage import Storage
from headwater.serialization.personal.sealed_storage import SealedStorage
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

LOOK_SECONDS: Final = 1.0
"""How often a worker looks whether it has something to report."""

AGAIN_SECONDS: Final = 30.0
"""How often it says again what it has said, so that it can be believed."""

KEPT_SECONDS: Final = 86_400.0
"""How long a report of a worker that is gone is kept."""

PROBLEM_CHARS_MAX: Final = 2000

_REPORTED: Final = frozenset(
    {
        SubscriptionState.FAILED,
        SubscriptionState.STALLED,
        SubscriptionState.SUSPENDED,
        SubscriptionState.WAITING,
    }
)

_MICROSECONDS: Final = 1_000_000

_log = logging.getLogger("headwater")


class Reporter:
    """Reports what *statuses* say that can't be seen from outside; what goes well costs nothing."""

    def __init__(
        self,
        statuses: Callable[[], Iterable[SubscriptionStatus]],
        *,
        target_of: Callable[[str], Storage],
        worker_of: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """Write to the storage *target_of* a subscription, as the worker *worker_of* it."""
        self._statuses, self._clock = statuses, clock
        self._target_of, self._worker_of = target_of, worker_of
        self._said: dict[str, WorkerReport] = {}
        self._cleared: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Report from now on."""
        self._task = asyncio.create_task(self._run(), name="headwater reports")

    async def stop(self) -> None:
        """Take back what was said, except of what has failed: nobody else knows why."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        for name, said in list(self._said.items()):
            if said.state != SubscriptionState.FAILED.value:
                await self._write(name, report_gone(name, said.worker))
        self._said.clear()

    async def report(self) -> None:
        """Write what has changed since the last time.

        Raises:
            StorageError: a storage can't be used.
        """
        for status in self._statuses():
            said, report = self._said.get(status.name), self._report_of(status)
            if report is None:
                if said is not None:
                    await self._commit(status.name, (report_gone(status.name, said.worker),))
                    del self._said[status.name]
            elif said is None or not _same(said, report):
                old = await self._old(status.name)
                await self._commit(status.name, (report_row(report), *old))
                self._said[status.name] = report

    def _report_of(self, status: SubscriptionStatus) -> WorkerReport | None:
        if status.state not in _REPORTED:
            return None
        target = self._target_of(status.name)
        problem = status.error or ""
        if status.state is SubscriptionState.FAILED and isinstance(target, SealedStorage):
            # An error may quote what is personal, and nobody would forget it here.
            problem = "what it was stands in the worker's log"
        return WorkerReport(
            status.name,
            self._worker_of(status.name),
            status.state.value,
            problem[:PROBLEM_CHARS_MAX],
            microseconds_since_epoch(self._clock.now()),
            status.failed_at,
        )

    async def _old(self, name: str) -> list[RowChange]:
        """Return what deletes reports that nobody needs any more; once per subscription."""
        target = self._target_of(name)
        if name in self._cleared:
            return []
        await target.prepare_collections([REPORTS])
        self._cleared.add(name)
        now = microseconds_since_epoch(self._clock.now())
        return [
            report_gone(name, one.worker)
            for one in await reports_on(target, name)
            if one.at < now - KEPT_SECONDS * _MICROSECONDS
        ]

    async def _commit(self, name: str, rows: tuple[RowChange, ...]) -> None:
        await self._target_of(name).commit(Changes(rows=rows))

    async def _write(self, name: str, row: RowChange) -> None:
        try:
            await self._commit(name, (row,))
        except StorageError as error:
            _log.debug("What was said of subscription %r stays: %s", name, error)

    async def _run(self) -> None:
        while True:
            try:
                await self.report()
            except StorageError as error:
                # The next look says it; that the storage is away shows by itself.
                _log.debug("A worker's report could not be written: %s", error)
            except Exception:  # noqa: BLE001 - reports come last; what they tell of must go on
                _log.exception("A worker's report could not be written")
            await asyncio.sleep(LOOK_SECONDS)


def _same(said: WorkerReport, report: WorkerReport) -> bool:
    known = (said.state, said.problem, said.failed_at)
    return known == (report.state, report.problem, report.failed_at) and (
        report.at - said.at < AGAIN_SECONDS * _MICROSECONDS
    )
