"""The projections of a running app: built anew beside the live rows, compared, switched to."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.app.projection_runners import AnyPlan, ProjectionRunners
from headwater.clock import Clock, Duration, microseconds_since_epoch, seconds_of
from headwater.errors import ConfigurationError, ParkedKeyError, SubscriptionError, SwitchError
from headwater.operations import control
from headwater.operations.dead_letters.waiting import held_up_to
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections import procedures
from headwater.operations.projections.building import begin, drop
from headwater.operations.projections.comparing import RowDifferences
from headwater.operations.projections.generations import Generation, GenerationState
from headwater.operations.projections.meeting import STOP_SECONDS
from headwater.operations.projections.procedures import Agreed, Switched
from headwater.operations.projections.watching import GenerationStatus, look_at, until_reached
from headwater.subscriptions.subscriptions import SETTLE_SECONDS, Subscriptions


class Projections:
    """What can be done with the generations of an app's projections; `App.projections` has it.

    A *projection* is named by its class, or by its name. Progress is heard as (position reached,
    position to reach).
    """

    def __init__(
        self,
        runners: ProjectionRunners,
        subscriptions: Subscriptions,
        *,
        names: Mapping[Any, str],
        clock: Clock,
    ) -> None:
        """Work on the projections of *runners*, which *subscriptions* runs; *names* has each
        class."""
        self._runners, self._subscriptions = runners, subscriptions
        self._names, self._clock = names, clock

    async def status(self, projection: Any = None) -> tuple[GenerationStatus, ...]:
        """Return how each generation fares; of one projection, or of all of the app.

        Raises:
            ConfigurationError: there is no such projection.
        """
        plans = self._runners.plans
        wanted = plans.values() if projection is None else [self._plan(projection)]
        looks: list[GenerationStatus] = []
        for plan in wanted:
            found = await self._runners.generations(plan.name)
            looks += [
                await look_at(self._runners.log, plan.target, found, one)
                for one in found.generations
            ]
        return tuple(looks)

    async def rebuild(self, projection: Any) -> Generation:
        """Begin to build the rows anew, beside those that are live; return the new generation.

        All workers that run this code work on it. Once it has caught up (`wait`), `switch`.

        Raises:
            SwitchError: something is being built already, or several projections compute the
                same rows.
            ConfigurationError: there is no such projection.
        """
        plan = self._own(projection)
        generation = await begin(plan.target, plan.wanted, now=self._now())
        await self._runners.refresh()
        return generation

    async def wait(
        self,
        projection: Any,
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109 - a part of the promise
        progress: Progress = no_progress,
    ) -> GenerationStatus:
        """Return when what is being built has come to where the log ends now.

        Raises:
            SwitchError: nothing is being built.
            SubscriptionFailedError: it stopped over an event, in this process.
            WaitTimeoutError: *timeout* has passed.
        """
        plan = self._own(projection)
        found = await self._runners.generations(plan.name)
        building = found.building
        if building is None:
            raise SwitchError(plan.name, "nothing is being built", "Begin a rebuild first.")
        await until_reached(
            plan.target,
            [building.subscription],
            await self._runners.log.head(),
            seconds=None if timeout is None else seconds_of(timeout),
            progress=progress,
            check=self._check_of(building.subscription),
        )
        return await look_at(self._runners.log, plan.target, found, building)

    async def switch(
        self,
        projection: Any,
        *,
        agreed: Agreed = lambda _: True,
        by: str = "",
        reason: str = "",
        accept_parked: bool = False,
        live_stands: bool = False,
        timeout: Duration = STOP_SECONDS,  # noqa: ASYNC109 - a part of the promise
        progress: Progress = no_progress,
    ) -> Switched:
        """Put what was built in the place of the live rows, if *agreed*; see `procedures.switch`.

        Raises:
            SwitchError: nothing was built, it has not caught up within *timeout*, or events are
                held back in it and that is not accepted.
        """
        plan = self._own(projection)
        try:
            return await procedures.switch(
                self._runners.log,
                plan.target,
                plan.wanted.spec.name,
                now=self._now,
                agreed=agreed,
                by=by,
                reason=reason,
                accept_parked=accept_parked,
                live_stands=live_stands,
                seconds=seconds_of(timeout),
                progress=progress,
            )
        finally:
            await self._runners.refresh()
            await self._runners.inline.load()

    async def verify(
        self, projection: Any, *, by: str = "", progress: Progress = no_progress
    ) -> RowDifferences:
        """Build the rows once more and compare them with the live ones; see `procedures.verify`.

        Raises:
            SwitchError: something else is being built.
            SubscriptionFailedError: the code stopped over an event, in this process.
        """
        plan = self._own(projection)
        try:
            found = await self._runners.generations(plan.name)
            if found.building is None:
                await begin(plan.target, plan.wanted, now=self._now(), to_compare=True)
                found = await self._runners.generations(plan.name)
            await self._runners.refresh()
            building = found.building
            return await procedures.verify(
                self._runners.log,
                plan.target,
                plan.wanted,
                now=self._now,
                by=by,
                check=self._check_of(building.subscription if building else ""),
                progress=progress,
            )
        finally:
            await self._runners.refresh()

    async def pause(
        self, projection: Any, generation: int | None = None, *, by: str = "", reason: str = ""
    ) -> Generation:
        """Let nobody work a generation until `resume`; by default what is built, else the live one.

        Raises:
            ConfigurationError: there is none that a subscription works.
        """
        plan, one = await self._worked(projection, generation)
        await control.pause(plan.target, one.subscription, by=by, reason=reason)
        return one

    async def resume(
        self, projection: Any, generation: int | None = None, *, by: str = ""
    ) -> Generation:
        """Let workers go on with a generation that was paused, or stands for a switch.

        Raises:
            ConfigurationError: there is none that a subscription works.
        """
        plan, one = await self._worked(projection, generation)
        await control.resume(plan.target, one.subscription, by=by)
        return one

    async def drop(self, projection: Any, generation: int) -> Generation:
        """Delete a generation that is not live, with its rows and checkpoints.

        Raises:
            ConfigurationError: there is none of that number.
            SwitchError: it is live.
        """
        plan = self._own(projection)
        dropped = await drop(plan.target, plan.wanted.spec.name, generation)
        await self._runners.refresh()
        return dropped

    # -------------------------------------------------------------------- for the app

    def has(self, name: str) -> bool:
        """Return whether *name* is that of a projection."""
        return name in self._runners.plans

    async def live(self, name: str) -> Generation:
        """Return the generation of the projection *name* that readers read.

        Raises:
            ConfigurationError: it has none.
        """
        found = (await self._runners.generations(name)).read
        if found is None:
            raise ConfigurationError(f"Projection {name!r} has no rows yet.")
        return found

    async def wait_for(
        self,
        name: str,
        position: int,
        *,
        timeout: Duration | None = SETTLE_SECONDS,  # noqa: ASYNC109 - a part of the promise
    ) -> None:
        """Return when what readers read of *name* has reached *position*; see `App.wait_for`."""
        while True:
            live = await self.live(name)
            if live.inline and live.state is GenerationState.LIVE:
                return
            try:
                if self._runners.runs(live.subscription):
                    await self._subscriptions.wait_for(live.subscription, position, timeout=timeout)
                else:
                    seconds = None if timeout is None else seconds_of(timeout)
                    target = self._runners.plans[name].target
                    await until_reached(target, [live.subscription], position, seconds=seconds)
                    held = await held_up_to(target, live.subscription, position)
                    if held.parked:
                        raise ParkedKeyError(live.subscription, held.parked)
            except (SubscriptionError, ConfigurationError):
                # It may have ended because another generation has taken over.
                if await self.live(name) == live:
                    raise
                continue
            if await self.live(name) == live:
                return

    # ---------------------------------------------------------------------- internals

    def _plan(self, projection: Any) -> AnyPlan:
        name = projection if isinstance(projection, str) else self._names.get(projection)
        plan = self._runners.plans.get(name or "")
        if plan is None:
            known = ", ".join(self._runners.plans) or "(none)"
            raise ConfigurationError(
                f"{projection!r} is no projection of the app with rows computed by methods; there "
                f"are: {known}."
            )
        return plan

    def _own(self, projection: Any) -> AnyPlan:
        plan = self._plan(projection)
        if not plan.alone:
            raise SwitchError(
                plan.name,
                f"others compute rows in {plan.wanted.spec.name!r} too",
                "Give each a read model of its own, or rebuild them in place.",
            )
        return plan

    async def _worked(self, projection: Any, number: int | None) -> tuple[AnyPlan, Generation]:
        plan = self._plan(projection)
        found = await self._runners.generations(plan.name)
        one = found.numbered(number) if number is not None else found.building or found.live
        if one is None or not one.worked:
            raise ConfigurationError(
                f"Projection {plan.name!r} has no such generation that a subscription works."
            )
        return plan, one

    def _check_of(self, subscription: str) -> Callable[[], None]:
        return lambda: self._subscriptions.check(subscription)

    def _now(self) -> int:
        return microseconds_since_epoch(self._clock.now())
