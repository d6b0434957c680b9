"""The type list of a subscription: which workers may work it.

Workers of an old and a new release share checkpoints. One that does not know a type reads past
its events without seeing them, and would take the checkpoints with it. So the list of all types
is stored; each commit of a worker is guarded by the list as it was when the worker checked that
it knows them all.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from headwater.errors import RowConflictError
from headwater.operations.type_lists import TYPE_LISTS, read_types, write_types
from headwater.ports.changes import RowGuard
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.subscription import Subscription

TYPES_NAMED_MAX: Final = 10
"""How many types of a kind the text of a subscription that waits names at most."""


class TypeList:
    """The stored list of *subscription* in *target*, as this worker has last read it."""

    def __init__(self, subscription: Subscription, target: Storage, codec: EventCodec) -> None:
        self._subscription, self._target, self._codec = subscription, target, codec
        self._prepared = False
        self.guards: tuple[RowGuard, ...] = ()
        self.missing: Mapping[str, int] = {}

    async def load(self) -> None:
        """Read the list, and store in it what it lacks of this worker's types.

        That refuses whatever workers commit that have not seen it. Afterwards `missing` are the
        types, and their versions, for whose sake this worker may not work.
        """
        if not self._prepared:
            await self._target.prepare_collections([TYPE_LISTS])
            self._prepared = True
        name, reads = self._subscription.name, self._subscription.reads
        passes = self._subscription.passes
        while True:
            stored = await read_types(self._target, name)
            union = dict(stored.types)
            for type, version in reads.items():
                union[type] = max(version, union.get(type, 0))
            if stored.row_version and union == stored.types:
                break
            await write_types(self._target, name, union, over=stored)
        self.guards = (RowGuard(TYPE_LISTS.name, name, stored.row_version),)
        self.missing = {
            type: version
            for type, version in stored.types.items()
            if max(reads.get(type, 0), passes.get(type, 0)) < version
        }

    async def check_unchanged(self) -> None:
        """Pass if the list stands as it was read.

        Raises:
            RowConflictError: another worker has put a type into it, or an operator has taken
                one out.
        """
        stored = await read_types(self._target, self._subscription.name)
        for guard in self.guards:
            if stored.row_version != guard.expected:
                raise RowConflictError(
                    guard.collection,
                    guard.key,
                    expected=guard.expected,
                    actual=stored.row_version,
                )

    @property
    def waits_for(self) -> str:
        """What a worker that may not work waits for, and the way out."""
        newest = self._codec.newest_versions(self.missing)
        missing = sorted(self.missing.items())
        unknown = [(type, version) for type, version in missing if newest[type] < version]
        # Another release wants them, or this subscription did once.
        not_taken = [(type, version) for type, version in missing if newest[type] >= version]
        needed: list[str] = []
        if unknown:
            needed.append(f"knows {_named(unknown)}, as newer or other code did")
        if not_taken:
            known = "which this code knows and does not take"
            needed.append(f"takes {_named(not_taken)}, {known}")
        named = [*unknown[:TYPES_NAMED_MAX], *not_taken[:TYPES_NAMED_MAX]]
        dropped = " ".join(type for type, _ in named)
        return (
            f"waits for a worker that {', and '.join(needed)}. "
            f"{'If there will be none' if unknown else 'Once no other release is left'}: "
            f"headwater subscription drop-types {self._subscription.name} {dropped}"
        )


def _named(types: Sequence[tuple[str, int]]) -> str:
    text = ", ".join(f"{type} version {version}" for type, version in types[:TYPES_NAMED_MAX])
    more = len(types) - TYPES_NAMED_MAX
    return f"{text} and {more} more" if more > 0 else text


def is_of_type_list(error: Exception) -> bool:
    """Return whether *error* says that a type list has changed."""
    return isinstance(error, RowConflictError) and error.collection == TYPE_LISTS.name
