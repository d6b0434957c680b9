"""The control row of a subscription, as a worker sees it: whether it may work, and how far.

Workers of an old and a new release share checkpoints. One that does not know a type reads past
its events without seeing them, and would take the checkpoints with it. So the list of all types
is stored, beside what operators want of the subscription; each commit of a worker is guarded by
the row as it was when the worker checked that it may work.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from headwater.errors import ConflictError, RowConflictError
from headwater.operations.control import CONTROL_ROWS, Control, read_control
from headwater.ports.changes import Changes, RowGuard
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.subscription import Subscription

TYPES_NAMED_MAX: Final = 10
"""How many types of a kind the text of a subscription that waits names at most."""


class ControlRow:
    """The stored row of *subscription* in *target*, as this worker has last read it."""

    def __init__(self, subscription: Subscription, target: Storage, codec: EventCodec) -> None:
        self._subscription, self._target, self._codec = subscription, target, codec
        self._prepared = False
        self.stored = Control()
        self.guards: tuple[RowGuard, ...] = ()
        self.missing: Mapping[str, int] = {}

    async def load(self) -> None:
        """Read the row, and store in it what its list lacks of this worker's types.

        That refuses whatever workers commit that have not seen it. Afterwards `missing` are the
        types, and their versions, for whose sake this worker may not work.
        """
        if not self._prepared:
            await self._target.prepare_collections([CONTROL_ROWS])
            self._prepared = True
        name, reads = self._subscription.name, self._subscription.reads
        passes = self._subscription.passes
        while True:
            stored = await read_control(self._target, name)
            union = dict(stored.types)
            for type, version in reads.items():
                union[type] = max(version, union.get(type, 0))
            if stored.row_version and union == stored.types:
                break
            try:
                await self._target.commit(Changes(rows=(stored.changed(name, types=union),)))
            except ConflictError:
                continue
        self.stored, self.guards = stored, (stored.guard(name),)
        self.missing = {
            type: version
            for type, version in stored.types.items()
            if max(reads.get(type, 0), passes.get(type, 0)) < version
        }

    async def check_unchanged(self) -> None:
        """Pass if the row stands as it was read.

        Raises:
            RowConflictError: another worker has put a type into the list, or an operator has
                written what he wants.
        """
        name = self._subscription.name
        now = await read_control(self._target, name)
        if now.row_version != self.stored.row_version:
            raise RowConflictError(
                CONTROL_ROWS.name,
                name,
                expected=self.stored.row_version,
                actual=now.row_version,
            )

    @property
    def admits(self) -> bool:
        """Whether this worker may work, if only up to `Control.stop_at`."""
        return not self.missing and self.stored.waits_for is None

    @property
    def lacks(self) -> str | None:
        """Which types a worker that may not work waits for, and the way out; None: it may."""
        if not self.missing:
            return None
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


def is_of_control_row(error: Exception) -> bool:
    """Return whether *error* says that a control row has changed."""
    return isinstance(error, RowConflictError) and error.collection == CONTROL_ROWS.name
