"""All subscriptions of one process: started, stopped and waited for together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from headwater.clock import Duration, seconds_of
from headwater.errors import ConfigurationError
from headwater.operations.restarting import restart
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.subscriptions.flow import DEFAULT_WORKERS, Workers
from headwater.subscriptions.fronts import Front
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.status import HeldCounts, SubscriptionStatus

SETTLE_SECONDS: Final = 30.0
"""How long `settle` and `wait_for` wait unless told otherwise."""

GRACE_SECONDS: Final = 10.0
"""How long `stop` lets handlers finish what they have begun."""

_log = logging.getLogger("headwater")
_T = TypeVar("_T")


class Subscriptions:
    """The subscriptions that read one log."""

    def __init__(
        self,
        log: Log,
        runners: Iterable[Runner],
        *,
        workers: Workers = DEFAULT_WORKERS,
        run: bool = True,
    ) -> None:
        """Take over *runners*, none of which has been started.

        They share their subscriptions with other processes as *workers* says. Without *run* they
        are others' to run, and can be waited for.

        Raises:
            ConfigurationError: two have one name.
        """
        self._log, self._workers, self._run = log, workers, run
        self._leasings: dict[int, Leasing] = {}
        self._runners: dict[str, Runner] = {}
        for runner in runners:
            name = runner.subscription.name
            if name in self._runners:
                raise ConfigurationError(
                    f"Two subscriptions are called {name!r}; their checkpoints would be one. "
                    f"Give one of them another name."
                )
            self._runners[name] = runner

    async def start(self) -> None:
        """Load all checkpoints and take the first leases, then run.

        Without running: store which types others must not pass over.

        Raises:
            LogRewoundError: a checkpoint is past the end of the log.
        """
        runners = tuple(self._runners.values())
        if not self._run:
            for runner in runners:
                await runner.declare()
            return
        for runner in runners:
            await runner.open()
        for leasing in {self._leasing_of(runner) for runner in runners}:
            names = [each.name for each in runners if self._leasing_of(each) is leasing]
            await leasing.open(names)
        for runner in runners:
            runner.start(self._leasing_of(runner))

    async def add(self, runner: Runner) -> None:
        """Take over one more *runner*, after the start, and do with it as with the others.

        Raises:
            ConfigurationError: there is one of its name.
            LogRewoundError: a checkpoint is past the end of the log.
            StorageError: the storage can't be used; it is not taken over then.
        """
        if self._runners.setdefault(runner.name, runner) is not runner:
            raise ConfigurationError(f"There is a subscription {runner.name!r} already.")
        try:
            if not self._run:
                await runner.declare()
                return
            await runner.open()
            leasing = self._leasing_of(runner)
            await leasing.open([runner.name])
        except BaseException:
            # It can be added again.
            del self._runners[runner.name]
            raise
        runner.start(leasing)

    async def remove(self, name: str, *, grace: Duration = GRACE_SECONDS) -> None:
        """Stop the runner of *name* as `stop` does, and forget it; if there is none, do nothing."""
        runner = self._runners.pop(name, None)
        if runner is not None:
            await runner.stop(grace_seconds=seconds_of(grace))

    def check(self, name: str) -> None:
        """Pass unless *name* is of this process, and has stopped.

        Raises:
            SubscriptionFailedError: it has.
        """
        runner = self._runners.get(name)
        if runner is not None:
            runner.progress.check()

    async def stop(self, *, grace: Duration = GRACE_SECONDS) -> None:
        """Finish what has been begun within *grace*; what is cut off then comes again.

        Neither a thread that does not end nor a storage that does not answer holds it up for more
        than `CUT_OFF_SECONDS` and `LEAVE_SECONDS` after that.
        """
        seconds = seconds_of(grace)
        await asyncio.gather(
            *(
                runner.stop(grace_seconds=seconds, for_good=True)
                for runner in self._runners.values()
            )
        )
        for leasing in self._leasings.values():
            await leasing.stop()

    async def restart(self, name: str) -> None:
        """Run a subscription that has failed again, from its checkpoints; if it runs, do nothing.

        Other workers in which it has failed begin again too, within about a second; where
        subscriptions are others' to run, only those do.

        Raises:
            ConfigurationError: there is none of that name, or nobody has ever run it.
        """
        runner = self._named(name)
        if runner.running:
            return
        await restart(runner.target, name)
        if self._run:
            await runner.open()
            runner.start(self._leasing_of(runner))

    async def reset(self, name: str, reset: Callable[[], Awaitable[_T]]) -> _T:
        """Return what *reset* returns, which moves the checkpoints of *name*; then run from there.

        If the subscription is one of this process, it stops before and begins again after it,
        whether it had failed or not. Whoever waits for it meanwhile is told that it stopped.
        """
        runner = self._runners.get(name)
        if runner is None or not self._run:
            return await reset()
        await runner.stop(grace_seconds=GRACE_SECONDS)
        try:
            return await reset()
        finally:
            await runner.open()
            runner.start(self._leasing_of(runner))

    @property
    def leasings(self) -> tuple[Leasing, ...]:
        """What leases partitions for this process, one for each storage with checkpoints."""
        return tuple(self._leasings.values())

    def status(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known of each subscription that runs here."""
        return tuple(runner.status() for runner in self._running())

    def fronts(self, name: str) -> Sequence[Front]:
        """Return what the partitions of *name* that this process has are at; see `Front`."""
        return self._named(name).fronts()

    def held(self, name: str) -> HeldCounts | None:
        """Return what *name* holds now; None where not all of it is known in this process."""
        return self._named(name).held()

    def target_of(self, name: str) -> Storage:
        """Return the storage of the checkpoints of *name*, and of what it holds."""
        return self._named(name).target

    def worker_of(self, name: str) -> str:
        """Return the name of the worker that this process is for *name*."""
        return self._leasing_of(self._named(name)).worker

    async def look(self) -> None:
        """Look where partitions stand that other processes work; `status` tells it then.

        Raises:
            StorageError: a storage can't be used.
        """
        for runner in self._runners.values():
            await runner.look()

    async def wait_for(
        self,
        name: str,
        position: int,
        *,
        timeout: Duration | None = SETTLE_SECONDS,  # noqa: ASYNC109 - a part of the promise
    ) -> None:
        """Return when everything up to *position* is committed in the subscription *name*.

        Then every partition's stored checkpoint has reached it, whichever process works it.

        Raises:
            SubscriptionFailedError: it stopped before.
            ParkedKeyError: a key is parked behind a dead letter at or before it.
            WaitTimeoutError: *timeout* has passed.
            ConfigurationError: there is none of that name.
        """
        await self._named(name).wait_for(
            position, seconds=seconds_of(timeout) if timeout is not None else None
        )

    async def settle(self, *, timeout: Duration = SETTLE_SECONDS) -> int:  # noqa: ASYNC109
        """Return the head when every subscription has reached it and none has added to it.

        Raises:
            SubscriptionFailedError: one has stopped.
            ParkedKeyError: one has a key parked behind a dead letter.
            WaitTimeoutError: *timeout* has passed.
        """
        deadline = asyncio.get_running_loop().time() + seconds_of(timeout)
        settled = -1
        while (head := await self._log.head()) != settled:
            for runner in self._running():
                runner.progress.check()
                left = max(0.0, deadline - asyncio.get_running_loop().time())
                await runner.wait_for(head, seconds=left)
            settled = head
        return settled

    def _running(self) -> tuple[Runner, ...]:
        return tuple(self._runners.values()) if self._run else ()

    def _leasing_of(self, runner: Runner) -> Leasing:
        """Return what leases for all runners whose checkpoints are in one storage."""
        key = id(runner.target)
        if key not in self._leasings:
            self._leasings[key] = Leasing(runner.target, workers=self._workers)
        return self._leasings[key]

    def _named(self, name: str) -> Runner:
        try:
            return self._runners[name]
        except KeyError:
            known = ", ".join(self._runners) or "(none)"
            raise ConfigurationError(
                f"No subscription {name!r} here; there are: {known}."
            ) from None
