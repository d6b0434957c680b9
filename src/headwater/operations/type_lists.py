"""The types that a subscription must not pass over, as stored beside its checkpoints."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, ConflictError
from headwater.ports.changes import Changes, RowChange
from headwater.ports.rows import ROWS_MAX, CollectionSpec, RowQuery
from headwater.ports.storage import Storage

TYPE_LISTS: Final = CollectionSpec("headwater_subscriptions", ("types",))
"""The collection of all lists; a row's key is the name of the subscription."""


class StoredTypes(msgspec.Struct, frozen=True):
    """The newest schema version of each stored type name that some worker has wanted.

    `row_version` 0: nothing is stored.
    """

    types: Mapping[str, int]
    row_version: int


class _Row(msgspec.Struct, frozen=True):
    types: dict[str, int]


async def read_types(storage: Storage, subscription: str) -> StoredTypes:
    """Return what is stored of *subscription*; the collection must have been prepared.

    Raises:
        ConfigurationError: the row is not one that this code writes.
    """
    row = (await storage.get_rows(TYPE_LISTS.name, (subscription,))).get(subscription)
    if row is None:
        return StoredTypes({}, 0)
    try:
        return StoredTypes(_decode(row.data).types, row.version)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"The types stored for subscription {subscription!r} can't be read: {error}. Is it "
            f"written by newer code? Deleting the row lets its workers write it anew."
        ) from error


async def write_types(
    storage: Storage, subscription: str, types: Mapping[str, int], *, over: StoredTypes
) -> bool:
    """Put *types* in the place of *over*; return False if that was replaced meanwhile."""
    data = msgspec.json.encode(_Row(dict(sorted(types.items())))).decode()
    row = RowChange(TYPE_LISTS.name, subscription, data, expected=over.row_version)
    try:
        await storage.commit(Changes(rows=(row,)))
    except ConflictError:
        return False
    return True


async def bound_subscriptions(storage: Storage) -> frozenset[str]:
    """Return the subscriptions of which *storage* has types, at most `ROWS_MAX`."""
    if not await _prepared(storage):
        return frozenset()
    rows = await storage.find_rows(TYPE_LISTS.name, RowQuery(limit=ROWS_MAX))
    return frozenset(row.key for row in rows)


async def drop_types(storage: Storage, subscription: str, names: Collection[str]) -> StoredTypes:
    """Let workers pass over the types *names*, which no code will want again; return the rest.

    A worker that does want one of them puts it back with its next commit.

    Raises:
        ConfigurationError: the subscription has no such type.
        StorageError: the storage can't be used.
    """
    prepared = await _prepared(storage)
    while True:
        before = await read_types(storage, subscription) if prepared else StoredTypes({}, 0)
        if strangers := sorted(set(names) - before.types.keys()):
            raise ConfigurationError(
                f"Subscription {subscription!r} is not bound to {', '.join(strangers)} in this "
                f"storage; it is to: {', '.join(sorted(before.types)) or '(nothing)'}."
            )
        rest = {name: version for name, version in before.types.items() if name not in names}
        if await write_types(storage, subscription, rest, over=before):
            return await read_types(storage, subscription)


async def _prepared(storage: Storage) -> bool:
    return any(spec.name == TYPE_LISTS.name for spec in await storage.collections())


_decode = msgspec.json.Decoder(_Row).decode
