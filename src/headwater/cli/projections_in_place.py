"""``headwater projection rebuild --in-place``: rows that can't be built beside the live ones."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place
from headwater.cli.storages import opened_storages
from headwater.errors import ConfigurationError
from headwater.operations.projections.generations import all_generations
from headwater.operations.rebuilding import begin_again
from headwater.ports.storage import Storage


async def rebuild_in_place(
    output: Output, place: Place, name: str, *, collections: Sequence[str], yes: bool
) -> ExitCode:
    """Delete a projection's rows and let it begin again at the start of the log.

    The app may run: its workers notice within seconds and build the rows anew.

    Raises:
        ConfigurationError: there is no such projection, or nobody knows its rows.
        StorageError: a storage can't be used.
    """
    async with AsyncExitStack() as opened:
        log = await opened.enter_async_context(place.opened())
        target, subscription, known = await _target(
            opened, place, log, name, explicit=bool(collections)
        )
        clear = collections or known
        if clear:
            question = f"Delete all rows of {', '.join(clear)} and build them again?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
        done = await begin_again(
            log, target, subscription, collections=clear, some_dropped=not collections
        )
    output.object(
        {
            "subscription": done.subscription,
            "collections": ", ".join(done.collections),
            "rows_deleted": done.rows,
            "head": done.head,
        }
    )
    return ExitCode.OK


async def _target(
    opened: AsyncExitStack, place: Place, log: Storage, name: str, *, explicit: bool
) -> tuple[Storage, str, Sequence[str]]:
    """Return the storage with the checkpoints of *name*, under which name they are there, and the
    collections it can rebuild.

    Raises:
        ConfigurationError: an app is named, and it has no such subscription; or its rows are
            another one's as well, and they were not named *explicit*ly.
    """
    if place.app is None:
        return log, name, ()
    names: list[str] = []
    for _, storage, consumers in await opened_storages(opened, place, log):
        for one in await all_generations(storage):
            if one.projection == name and not explicit and (live := one.live) is not None:
                return storage, live.subscription, (live.collection,)
        if name in consumers:
            collection = consumers[name].collection
            sharing = [each for each, one in consumers.items() if one.collection == collection]
            if collection is None or explicit:
                return storage, name, ()
            if len(sharing) > 1:
                raise ConfigurationError(
                    f"The rows of {collection!r} are those of several projections: "
                    f"{', '.join(sorted(sharing))}. With the app stopped, rebuild each of them "
                    f"with --collection {collection}."
                )
            return storage, name, (collection,)
        names += consumers
    raise ConfigurationError(
        f"The app has no subscription {name!r}; there are: {', '.join(sorted(names)) or '(none)'}."
    )
