"""The types that a subscription must not pass over: giving up those that no code wants again."""

from collections.abc import Collection

from headwater.errors import ConfigurationError, ConflictError
from headwater.operations.control import CONTROL_ROWS, Control, read_control
from headwater.ports.changes import Changes
from headwater.ports.storage import Storage


async def drop_types(storage: Storage, subscription: str, names: Collection[str]) -> Control:
    """Let workers pass over the types *names*, which no code will want again; return the rest.

    A worker that does want one of them puts it back with its next commit.

    Raises:
        ConfigurationError: the subscription has no such type.
        StorageError: the storage can't be used.
    """
    prepared = any(spec.name == CONTROL_ROWS.name for spec in await storage.collections())
    while True:
        before = await read_control(storage, subscription) if prepared else Control()
        if strangers := sorted(set(names) - before.types.keys()):
            raise ConfigurationError(
                f"Subscription {subscription!r} is not bound to {', '.join(strangers)} in this "
                f"storage; it is to: {', '.join(sorted(before.types)) or '(nothing)'}."
            )
        rest = {name: version for name, version in before.types.items() if name not in names}
        try:
            await storage.commit(Changes(rows=(before.changed(subscription, types=rest),)))
        except ConflictError:
            continue
        return await read_control(storage, subscription)
