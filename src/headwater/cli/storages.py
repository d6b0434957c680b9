"""The storages that a command looks at: that of the log, and an app's others."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from headwater.cli.outcome import masked
from headwater.cli.running import Place
from headwater.operations.projections.generations import all_generations
from headwater.operations.recovering import Consumer
from headwater.ports.storage import Storage


async def opened_storages(
    opened: AsyncExitStack, place: Place, log: Storage, urls: Sequence[str] = ()
) -> list[tuple[str, Storage, Mapping[str, Consumer]]]:
    """Return *log* and the others, open, each with a label and the subscriptions it is for.

    The others are the databases of the app, and those at *urls*; *opened* closes them.

    Raises:
        ConfigurationError: one is a file that does not exist.
        StorageError: one can't be used.
    """
    loaded = place.app
    consumers: Mapping[str, Consumer] = loaded.consumers(loaded.storage) if loaded else {}
    found = [("log", log, consumers)]
    if loaded is not None:
        for name, database in loaded.databases.items():
            await database.open()
            opened.push_async_callback(database.close)
            found.append((name, database, loaded.consumers(database)))
    found = [(label, each, await _by_generation(each, known)) for label, each, known in found]
    for url in urls:
        database = await opened.enter_async_context(Place(url, None).opened())
        found.append((masked(url), database, {}))
    return found


async def _by_generation(
    storage: Storage, consumers: Mapping[str, Consumer]
) -> Mapping[str, Consumer]:
    """Return *consumers* with each projection as its generations, where it has some."""
    known = dict(consumers)
    for one in await all_generations(storage):
        if known.pop(one.projection, None) is not None:
            for generation in one.generations:
                known[generation.subscription] = Consumer(generation.collection)
    return known
