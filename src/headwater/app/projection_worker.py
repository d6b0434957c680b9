"""A worker for one projection alone: a process of its own, beside the app or in its place."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from headwater.app.projection_runners import ProjectionRunners
from headwater.app.projections import Projections
from headwater.app.wiring import Wiring
from headwater.errors import ConfigurationError
from headwater.ports.storage import Storage
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.subscriptions import Subscriptions


@asynccontextmanager
async def projection_worker(
    wiring: Wiring, storages: Sequence[Storage], name: str, *, workers: Workers
) -> AsyncGenerator[Projections]:
    """Open *storages*, the first of which has the log, and run the generations of *name* only.

    Raises:
        ConfigurationError: there is no such projection.
        StorageError: a storage can't be used.
    """
    around, plans = wiring.around, wiring.projections.plans
    if name not in plans:
        known = ", ".join(plans) or "(none)"
        raise ConfigurationError(
            f"The app has no projection {name!r} with rows computed by methods; there are: {known}."
        )
    async with AsyncExitStack() as opened:
        for storage in storages:
            opened.push_async_callback(storage.close)
            await storage.open()
        if around.personal is not None:
            await around.personal.open(beside=(around.storage, *around.databases.values()))
            opened.push_async_callback(around.personal.close)
        plan = plans[name]
        await wiring.units.prepare(models=(plan.folding.folds.model,))
        runners = ProjectionRunners(
            (plan,),
            log=around.storage,
            clock=around.clock,
            runner_of=wiring.subscribed.generation,
        )
        subscriptions = Subscriptions(storages[0], await runners.open(), workers=workers)
        opened.push_async_callback(subscriptions.stop)
        await subscriptions.start()
        runners.follow(subscriptions)
        opened.push_async_callback(runners.stop)
        yield Projections(runners, subscriptions, names=wiring.subscribed.names, clock=around.clock)
