"""One run of an app: what was opened at its start, at work until all of it is closed again."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast

from headwater.app.projections import Projections
from headwater.app.wiring import Wiring
from headwater.clock import Duration, seconds_of
from headwater.errors import ConfigurationError
from headwater.event_store import EventStore
from headwater.mediator.mediator import Mediator
from headwater.mediator.sending import Publisher, Sender
from headwater.monitoring.worker import WorkerMonitoring
from headwater.operations.restarting import restart
from headwater.operations.retention import Pruner, Retention
from headwater.ports.container import Scope
from headwater.ports.storage import Storage
from headwater.subscriptions.effect_ledger import EffectLedger
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.subscriptions import Subscriptions

T = TypeVar("T")


class Run:
    """The open storages, the mediator and the subscriptions of a started app."""

    def __init__(
        self,
        wiring: Wiring,
        subscriptions: Subscriptions,
        monitoring: WorkerMonitoring,
        closing: AsyncExitStack,
    ) -> None:
        """Take over what is at work; *closing* closes it. `start` makes one."""
        self.wiring, self.subscriptions = wiring, subscriptions
        self.monitoring = monitoring
        self.projections = Projections(
            wiring.projections,
            subscriptions,
            names=wiring.subscribed.names,
            clock=wiring.around.clock,
        )
        self._closing = closing

    @classmethod
    async def start(
        cls,
        wiring: Wiring,
        storages: Sequence[Storage],
        *,
        monitoring: WorkerMonitoring,
        retention: Retention | None,
        subscribe: bool,
        workers: Workers,
    ) -> "Run":
        """Open *storages*, the first of which has the log, and all that works on them.

        If any of it fails, what was opened is closed again.

        Raises:
            StorageError: a storage can't be used.
            KeyStoreMismatchError: one is written with other keys.
            ConfigurationError: the port of *monitoring* is taken.
        """
        around = wiring.around
        async with AsyncExitStack() as opened:
            opened.push_async_callback(monitoring.stop)
            await monitoring.start()
            for storage in storages:
                opened.push_async_callback(storage.close)
                await storage.open()
            if around.personal is not None:
                await around.personal.open(beside=(around.storage, *around.databases.values()))
                opened.push_async_callback(around.personal.close)
            await wiring.units.prepare(
                aggregates=wiring.types.aggregates, models=wiring.types.models
            )
            generations = await wiring.projections.open()
            if around.container is not None:
                opened.push_async_callback(around.container.close)
            opened.push_async_callback(wiring.mediator.aclose)
            await wiring.mediator.start()
            # Also without them: what this process can append, old workers must not pass over.
            subscriptions = Subscriptions(
                storages[0], (*wiring.runners, *generations), workers=workers, run=subscribe
            )
            await subscriptions.start()
            wiring.projections.follow(subscriptions)
            opened.push_async_callback(wiring.projections.stop)
            monitoring.watch(subscriptions)
            if retention is not None:
                for storage in storages:
                    # Effects are kept with the log.
                    also = wiring.effect_ledger.prune_used if storage is storages[0] else None
                    pruner = Pruner(storage, retention, clock=around.clock, also=also)
                    opened.push_async_callback(pruner.stop)
                    pruner.start()
            return cls(wiring, subscriptions, monitoring, opened.pop_all())

    async def stop(self, *, grace: Duration) -> None:
        """Drain subscriptions, sends and background handlers within *grace*; then close all."""
        deadline = time.monotonic() + seconds_of(grace)
        async with self._closing:
            await self.wiring.projections.stop()
            await self.subscriptions.stop(grace=grace)
            await self.wiring.units.drain(seconds=max(0.0, deadline - time.monotonic()))
            await self.wiring.mediator.aclose(timeout=max(0.0, deadline - time.monotonic()))

    def name_of(self, subscription: Any) -> str:
        """Return the name of a subscription, which may be its class or function.

        Raises:
            ConfigurationError: there is none.
        """
        if isinstance(subscription, str):
            return subscription
        names = self.wiring.subscribed.names
        name = names.get(subscription)
        if name is None:
            known = ", ".join(names.values()) or "(none)"
            raise ConfigurationError(
                f"{subscription!r} is no projection or subscriber of the app; there are: {known}."
            )
        return name

    async def wait_for(
        self,
        subscription: Any,
        position: int,
        *,
        timeout: Duration | None,  # noqa: ASYNC109 - passed on
    ) -> None:
        """Return when a subscription, or the live rows of a projection, have reached *position*.

        Raises as `App.wait_for`.
        """
        name = self.name_of(subscription)
        waits = self.projections if self.projections.has(name) else self.subscriptions
        await waits.wait_for(name, position, timeout=timeout)

    async def restart(self, subscription: Any) -> None:
        """Run what has failed again, in all workers; of a projection, every generation.

        Raises as `App.restart`.
        """
        name, runners = self.name_of(subscription), self.wiring.projections
        if not self.projections.has(name):
            await self.subscriptions.restart(name)
            return
        for one in (await runners.generations(name)).generations:
            if runners.runs(one.subscription):
                await self.subscriptions.restart(one.subscription)
            elif one.worked:
                await restart(runners.plans[name].target, one.subscription)

    async def dependency(self, dependency: type[T]) -> T:
        """Return the dependency of the app's lifetime that *dependency* names.

        Raises:
            ConfigurationError: nobody provides it, or it only lives as long as a message.
        """
        around = self.wiring.around
        instances = {
            **dict.fromkeys((Mediator, Sender, Publisher), self.wiring.mediator),
            EventStore: self.wiring.event_store,
            EffectLedger: self.wiring.effect_ledger,
            **around.instances,
        }
        if dependency in instances:
            return cast("T", instances[dependency])
        container = around.container
        provided = container.find(dependency) if container is not None else None
        if provided is None or provided.scope is not Scope.APP or container is None:
            reason = "nobody provides it" if provided is None else "it lives as long as a message"
            raise ConfigurationError(f"app.get({dependency.__name__}): {reason}.")
        return cast("T", await container.get(provided.key))
