"""Restarts: what has failed in running workers begins again, whoever asks."""

from headwater.errors import ConfigurationError
from headwater.operations.control import CONTROL_ROWS, Control, read_control, write_control
from headwater.operations.projections.generations import all_generations
from headwater.ports.storage import Storage


async def restart(storage: Storage, subscription: str) -> Control:
    """Have every worker in which *subscription* has failed begin it again; return its control row.

    They do within about a second, from their checkpoints. The row is written as it is: workers
    that have failed look whether it was. Those at work go on, and what is paused stays paused.

    Raises:
        ConfigurationError: there is no such subscription in *storage*, or it is retired.
        StorageError: the storage can't be used.
    """
    known = [one.name for one in await storage.subscriptions()]
    if subscription not in known:
        raise ConfigurationError(
            f"There is no subscription {subscription!r} in this storage; there are: "
            f"{', '.join(known) or '(none)'}."
        )
    await storage.prepare_collections([CONTROL_ROWS])
    if (await read_control(storage, subscription)).retired:
        raise ConfigurationError(
            f"Subscription {subscription!r} is retired: a newer generation has taken over."
        )
    return await write_control(storage, subscription)


async def subscription_called(storage: Storage, name: str) -> str | None:
    """Return the subscription of *storage* that *name* means; None: there is none.

    The name of a projection means that of the rows which are live; a name with an ``@`` means
    itself.

    Raises:
        ConfigurationError: what is stored of projections can't be read.
    """
    for one in await all_generations(storage):
        if one.projection == name and one.read is not None:
            return one.read.subscription
    known = {one.name for one in await storage.subscriptions()}
    return name if name in known else None
