"""Lets a projection of a running app begin again, without its rows."""

from collections.abc import Sequence
from typing import Any

from headwater.app.run import Run
from headwater.domain.read_model import ReadModel
from headwater.errors import ConfigurationError
from headwater.operations.rebuilding import Rebuild, begin_again


async def rebuild(run: Run, subscription: Any, *, models: Sequence[type[ReadModel]]) -> Rebuild:
    """Delete the rows of *models*, by default those of the projection, and let it begin again.

    Raises:
        ConfigurationError: it is no projection of the app that can be built again, or its rows
            are another one's as well.
    """
    name = run.name_of(subscription)
    catalogued = run.wiring.subscribed.catalogued
    found = next((one for one in catalogued if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in catalogued) or "(none)"
        raise ConfigurationError(f"The app has no subscription {name!r}; there are: {known}.")
    units = run.wiring.units
    collections = tuple(units.row_type(model).name for model in models)
    if not collections and found.collection is not None:
        collections = (found.collection,)
        sharing = [one.name for one in catalogued if one.collection == found.collection]
        if len(sharing) > 1:
            raise ConfigurationError(
                f"The rows of {found.collection!r} are those of several projections: "
                f"{', '.join(sharing)}. Name the read model to delete them all, and then rebuild "
                f"each while the app is stopped: headwater projection rebuild NAME --collection …"
            )
    log = run.wiring.around.storage
    subscription = name
    if run.projections.has(name):
        live = await run.projections.live(name)
        if not live.worked:
            raise ConfigurationError(
                f"Projection {name!r} is computed inline, so no subscription builds its rows in "
                f"place. Build them beside: app.projections.rebuild(…)."
            )
        subscription = live.subscription
        collections = tuple(
            live.collection if one == found.collection else one for one in collections
        )

    async def begin() -> Rebuild:
        return await begin_again(log, found.storage, subscription, collections=collections)

    return await run.subscriptions.reset(subscription, begin)
