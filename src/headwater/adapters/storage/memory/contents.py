"""What a memory storage holds, and how one `Changes` is written into it whole or not at all."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from headwater.adapters.storage.memory.restoration import RestorableLog
from headwater.adapters.storage.memory.rows import MemoryCollection, Undo
from headwater.adapters.storage.memory.subscriptions import MemorySubscriptions
from headwater.clock import from_microseconds
from headwater.errors import (
    ConfigurationError,
    DeadlineExceededError,
    IdempotencyConflictError,
    ReceiptExistsError,
)
from headwater.ports.administration import Pruned
from headwater.ports.changes import Changes, Committed, NewReceipt, RowChange
from headwater.ports.leases import Checkpoint
from headwater.ports.limits import check_sizes
from headwater.ports.rows import CollectionSpec
from headwater.ports.sealed import check_sealed
from headwater.ports.storage import StoredReceipt
from headwater.streams import check_stream_id


class _Receipt(msgspec.Struct, frozen=True):
    stored: StoredReceipt
    recorded_at: int


class MemoryContents:
    """The log, the collections, the receipts and the subscriptions; nothing in here awaits."""

    def __init__(self) -> None:
        self.log: Final = RestorableLog()
        self._collections: Final[dict[str, MemoryCollection]] = {}
        self._receipts: Final[dict[tuple[str, bytes], _Receipt]] = {}
        self.subscriptions: Final = MemorySubscriptions()
        # Of dropped collections, so that no row of a later one has a version of theirs.
        self._last_versions: Final[dict[str, int]] = {}

    def collection(self, name: str) -> MemoryCollection:
        """Return a prepared collection.

        Raises:
            ConfigurationError: it was not prepared.
        """
        collection = self._collections.get(name)
        if collection is None:
            raise ConfigurationError(f"Collection {name!r} is not prepared in this storage.")
        return collection

    def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make room for all of the collections, or raise and make none."""
        prepared = dict(self._collections)
        for spec in specs:
            prepared[spec.name] = MemoryCollection(
                spec,
                before=prepared.get(spec.name),
                last_version=self._last_versions.get(spec.name, 0),
            )
        self._collections.update(prepared)

    def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet."""
        kept = self._receipts.get((consumer, message_id))
        return kept.stored if kept is not None else None

    # ----------------------------------------------------------------------- administration

    def reset_subscription(self, name: str, to: Checkpoint, clear: Sequence[str]) -> int:
        """Set the checkpoint of every partition, and return how many rows were deleted.

        Raises:
            ConfigurationError: there is no such subscription, or no such collection.
        """
        collections = [self.collection(one) for one in clear]
        self.subscriptions.reset(name, to)
        return sum(one.clear() for one in collections)

    def drop_collection(self, name: str) -> None:
        """Delete a collection with all its rows, if there is one."""
        collection = self._collections.pop(name, None)
        if collection is not None:
            self._last_versions[name] = collection.last_version

    def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return [one.spec for _, one in sorted(self._collections.items())]

    def receipts_after(self, position: int) -> list[tuple[str, bytes]]:
        """Return the keys of the receipts that came with a commit past *position*."""
        return [key for key, kept in self._receipts.items() if kept.stored.position > position]

    def remove_receipts(self, keys: Sequence[tuple[str, bytes]]) -> int:
        """Remove receipts, and return how many."""
        for key in keys:
            del self._receipts[key]
        return len(keys)

    def prune(self, *, before: int, limit: int) -> Pruned:
        """Remove what is old, as `Administration.prune` says."""
        old = sorted(
            (kept.recorded_at, key)
            for key, kept in self._receipts.items()
            if kept.recorded_at < before
        )[:limit]
        return Pruned(
            self.remove_receipts([key for _, key in old]),
            self.log.prune(before=before, limit=limit),
        )

    # ------------------------------------------------------------------------------ writing

    def check_form(self, changes: Changes) -> None:
        """Raise what can be said of *changes* before its turn comes.

        Raises:
            InvalidNameError: a stream id can't be one.
            ConfigurationError: a collection is not prepared, or a row does not fit its own.
            LimitExceededError: something that is indexed is too long.
        """
        for append in changes.appends:
            check_stream_id(append.stream_id)
        for change in changes.streams:
            check_stream_id(change.stream_id)
        for guard in changes.guards:
            self.collection(guard.collection)
        for row in changes.rows:
            wanted = len(self.collection(row.collection).spec.indexed)
            if row.data is not None and len(row.indexed) != wanted:
                raise ConfigurationError(
                    f"Row {row.key!r} of {row.collection!r} comes with {len(row.indexed)} indexed "
                    f"values, the collection has {wanted} indexed fields."
                )
        check_sizes(changes)
        check_sealed(changes)

    def write(self, changes: Changes, *, now: int) -> Committed:
        """Write all of *changes*, or raise and write nothing.

        Everything is checked first. Rows are last: written on the way, and taken back if one
        is refused, because each must see those before it.
        """
        for text in _texts(changes):
            text.encode()
        if changes.deadline is not None and now > changes.deadline:
            raise DeadlineExceededError("Commit", from_microseconds(changes.deadline))
        self._check_receipts(changes.receipts)
        moved = self.subscriptions.check(changes.checkpoints)
        staged = self.log.stage(changes.appends, now=now)
        self.log.check_versions(changes.appends, staged)
        for condition in changes.conditions:
            self.log.check_condition(condition, staged)
        self.log.check_changes(changes.streams)
        for guard in changes.guards:
            self.collection(guard.collection).check_version(guard.key, guard.expected)
        self._write_rows(changes.rows)

        self.log.add(staged.events)
        self.log.change(changes.streams, now=now)
        self.subscriptions.move(moved)
        position = max((answer.position for answer in staged.answers), default=0)
        for new in changes.receipts:
            receipt = StoredReceipt(new.digest, new.outcome, position)
            self._receipts[new.consumer, new.message_id] = _Receipt(receipt, now)
        return Committed(position, tuple(staged.answers))

    def _check_receipts(self, receipts: Sequence[NewReceipt]) -> None:
        digests: dict[tuple[str, bytes], bytes] = {}
        for new in receipts:
            key = new.consumer, new.message_id
            stored = self.receipt(*key)
            digest = stored.digest if stored else digests.get(key)
            if digest == new.digest:
                raise ReceiptExistsError(new.consumer, UUID(bytes=new.message_id))
            if digest is not None:
                raise IdempotencyConflictError(
                    "Message", UUID(bytes=new.message_id), "its content was another"
                )
            digests[key] = new.digest

    def _write_rows(self, rows: Sequence[RowChange]) -> None:
        written: list[Undo] = []
        try:
            for row in rows:
                written += (self.collection(row.collection).write(row),)
        except BaseException:
            for take_back in reversed(written):
                take_back()
            raise


def _texts(changes: Changes) -> Iterator[str]:
    """Yield the text that is going to be stored."""
    for append in changes.appends:
        for event in append.events:
            parts = event.actor, event.tenant, event.traceparent, event.headers
            yield "".join((event.type, event.data, *event.tags, *(part or "" for part in parts)))
    for row in changes.rows:
        yield row.key + (row.data or "")
        yield from (value for value in row.indexed if isinstance(value, str))
    for receipt in changes.receipts:
        yield receipt.consumer + receipt.outcome
