"""The generations of an app's projections: begun at its start, run in this process, followed."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from headwater.clock import Clock, microseconds_since_epoch
from headwater.errors import ConfigurationError, StorageError, SwitchError
from headwater.operations.dead_letters.overrides import base_name
from headwater.operations.projections.building import begin, note_form, stored_generations
from headwater.operations.projections.generations import (
    Generation,
    Generations,
    GenerationState,
    all_generations,
)
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.projections.fingerprint import tells_a_change
from headwater.projections.inline import InlineProjection, InlineProjections
from headwater.projections.plan import ProjectionPlan
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscriptions import GRACE_SECONDS, Subscriptions

FOLLOW_SECONDS: Final = 1.0
"""How often a process looks whether a generation was begun, switched to or dropped elsewhere."""

AnyPlan = ProjectionPlan[Any]

_log = logging.getLogger("headwater")


class ProjectionRunners:
    """Runs, in this process, every generation that its code computes and a subscription works."""

    def __init__(
        self,
        plans: Sequence[AnyPlan],
        *,
        log: Storage,
        clock: Clock,
        runner_of: Callable[[AnyPlan, Generation], Runner],
    ) -> None:
        """Look after *plans*, which read *log*; *runner_of* makes what runs a generation."""
        self.plans: Mapping[str, AnyPlan] = {plan.name: plan for plan in plans}
        self.log = log
        self._clock, self._runner_of = clock, runner_of
        self._known: dict[str, Generations] = {}
        self._subscriptions: Subscriptions | None = None
        self._run: dict[str, Generation] = {}
        self._not_run: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        self.inline = InlineProjections(
            [InlineProjection(plan, clock) for plan in plans if plan.alone and plan.target is log]
        )

    # ------------------------------------------------------------------ start and stop

    async def open(self) -> list[Runner]:
        """Begin what has to be, and return what runs the generations of this code.

        Raises:
            StorageError: a storage can't be used.
        """
        for plan in self.plans.values():
            self._known[plan.name] = await self._begun(plan)
            self._tell_changes(plan, self._known[plan.name])
        await self.inline.load()
        self._run = self._wanted()
        return [await self._prepared_runner(one) for one in self._run.values()]

    def follow(self, subscriptions: Subscriptions) -> None:
        """Run in *subscriptions* what is begun from now on, wherever; until `stop`."""
        self._subscriptions = subscriptions
        if self.plans:
            self._task = asyncio.create_task(
                self._follow(), name="headwater projections", context=context_of_no_message()
            )

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """Look at the generations as they are stored now, and run those that are to be run."""
        async with self._one:
            for storage in {id(plan.target): plan.target for plan in self.plans.values()}.values():
                stored = {one.collection: one for one in await all_generations(storage)}
                for plan in self.plans.values():
                    found = stored.get(plan.wanted.spec.name)
                    if plan.target is storage and plan.alone and found is not None:
                        self._known[plan.name] = found
                        await self.inline.heard(found)
            await self._run_wanted()

    # --------------------------------------------------------------------- looking

    async def generations(self, name: str) -> Generations:
        """Return the generations of the projection *name* as they are stored now."""
        plan = self.plans[name]
        if not plan.alone:
            return self._known[name]
        return await stored_generations(plan.target, plan.wanted)

    async def with_subscription(self, subscription: str) -> tuple[AnyPlan, Generation] | None:
        """Return the generation that *subscription* works, as stored now, if this code computes it;
        also before `open`."""
        plan = self.plans.get(base_name(subscription))
        if plan is None:
            return None
        if not plan.alone:
            return plan, _only(plan)
        found = await stored_generations(plan.target, plan.wanted)
        for one in found.generations:
            if one.subscription == subscription and plan.computes(one):
                return plan, one
        return None

    def runs(self, subscription: str) -> bool:
        """Return whether this process has a runner for the generation with *subscription*."""
        return subscription in self._run

    # ------------------------------------------------------------------- internals

    async def _begun(self, plan: AnyPlan) -> Generations:
        if not plan.alone:
            return Generations(plan.name, plan.wanted.spec.name).having(_only(plan))
        while True:
            found = await note_form(plan.target, plan.wanted)
            kind = await self._needed(plan, found)
            if kind is None:
                return found
            # Another process may be doing the same right now.
            with suppress(SwitchError):
                now = microseconds_since_epoch(self._clock.now())
                await begin(plan.target, plan.wanted, now=now, live=kind is GenerationState.LIVE)

    async def _needed(self, plan: AnyPlan, found: Generations) -> GenerationState | None:
        """Return which kind of generation has to be begun for the code of *plan*."""
        wanted, live = plan.wanted, found.live
        if not found.generations:
            return (
                GenerationState.BUILDING
                if wanted.inline and await self._has_events(plan)
                else GenerationState.LIVE
            )
        if live is None or found.building is not None:
            return None
        newer = wanted.version > live.version
        otherwise = wanted.version == live.version and wanted.inline != live.inline
        return GenerationState.BUILDING if newer or otherwise else None

    async def _has_events(self, plan: AnyPlan) -> bool:
        where: LogFilter = plan.subscription.wanted
        return bool((await self.log.read_log(where=where, limit=1)).events)

    def _tell_changes(self, plan: AnyPlan, found: Generations) -> None:
        """Log what whoever started this process has to know of a projection."""
        if not plan.alone:
            return
        wanted = plan.wanted
        for one in (found.live, found.building):
            if one is None:
                continue
            if plan.computes(one) and tells_a_change(one.fingerprint, wanted.fingerprint):
                _log.warning(
                    "Projection %r: the code has changed since generation %s was begun, and its "
                    "version still is %s, so rows from before and after may not go together. "
                    "Count the version up, or compare: headwater projection verify %s",
                    plan.name,
                    one.number,
                    one.version,
                    plan.name,
                )
            elif wanted.version > one.version and one is found.building:
                _log.warning(
                    "Projection %r: generation %s of version %s is being built, and this code has "
                    "version %s. Drop it, and a new one begins with the next start: headwater "
                    "projection drop %s %s",
                    plan.name,
                    one.number,
                    one.version,
                    wanted.version,
                    plan.name,
                    one.number,
                )
            elif wanted.version < one.version:
                _log.warning(
                    "Projection %r: this code has version %s, and generation %s is of version %s: "
                    "it is left to workers that have that",
                    plan.name,
                    wanted.version,
                    one.number,
                    one.version,
                )
        building = found.building
        if building is not None:
            _log.info(
                "Projection %r: generation %s (version %s) is built beside the live one. Once it "
                "has caught up: headwater projection switch %s",
                plan.name,
                building.number,
                building.version,
                plan.name,
            )
        if wanted.inline:
            _log.info(
                "Projection %r is computed inline: it does not see what is appended past units of "
                "work (EventStore.append, outbox, import) or by code that does not have it",
                plan.name,
            )

    def _wanted(self) -> dict[str, Generation]:
        return {
            one.subscription: one
            for name, found in self._known.items()
            for one in found.generations
            if one.worked and self.plans[name].computes(one)
        }

    def _plan_of(self, generation: Generation) -> AnyPlan:
        name = next(name for name, found in self._known.items() if generation in found.generations)
        return self.plans[name]

    async def _prepared_runner(self, generation: Generation) -> Runner:
        """Return what runs *generation*, whose rows this process may not know yet."""
        plan = self._plan_of(generation)
        await plan.prepare(generation)
        return self._runner_of(plan, generation)

    async def _run_wanted(self) -> None:
        if self._subscriptions is None:
            return
        wanted = self._wanted()
        for name in self._run.keys() - wanted.keys():
            del self._run[name]
            await self._subscriptions.remove(name, grace=GRACE_SECONDS)
        for name in wanted.keys() - self._run.keys():
            one = wanted[name]
            try:
                await self._subscriptions.add(await self._prepared_runner(one))
            except (StorageError, ConfigurationError) as error:
                self._tell_not_run(name, error)
            else:
                self._run[name] = one
                self._not_run.pop(name, None)

    def _tell_not_run(self, name: str, error: Exception) -> None:
        """Log, once, why a generation is not run here yet; `_follow` tries again."""
        if self._not_run.get(name) != str(error):
            self._not_run[name] = str(error)
            _log.warning("Subscription %r is not run here yet, and tried again: %s", name, error)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                await self.refresh()
            except StorageError as error:
                _log.debug("Generations of projections are looked for again: %s", error)


def _only(plan: AnyPlan) -> Generation:
    """Return what is run for a projection whose rows others compute too: as it always was."""
    wanted = plan.wanted
    return Generation(
        1,
        wanted.version,
        wanted.fingerprint,
        wanted.spec.name,
        wanted.subscription,
        GenerationState.LIVE,
        0,
    )
