"""A batch of commits in one transaction, as if they were done one by one in arrival order."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from headwater.adapters.storage.sqlite.batch_log import LogOverlay, Staged
from headwater.adapters.storage.sqlite.batch_rows import RowsOverlay
from headwater.adapters.storage.sqlite.batch_streams import StreamsOverlay
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.journal import Journal
from headwater.adapters.storage.sqlite.statements import RowsAsJson, insert_rows, select_in
from headwater.clock import from_microseconds
from headwater.errors import (
    CheckpointConflictError,
    DeadlineExceededError,
    HeadwaterError,
    IdempotencyConflictError,
    LeaseLostError,
    ReceiptExistsError,
)
from headwater.ports.changes import (
    Append,
    Changes,
    CheckpointMove,
    Committed,
    NewReceipt,
    RowChange,
    RowGuard,
    StreamChange,
)

Outcome: TypeAlias = Committed | HeadwaterError
NOT_OPEN: Final = -1

# All in one statement, because each costs a single commit more than what it looks for.
_LOOK: Final = (
    "SELECT position, row_version, recorded_at, "
    "(SELECT max(id) FROM headwater_events), (SELECT max(id) FROM headwater_erased), "
    "(SELECT json_group_array(coalesce("
    "(SELECT max(version) FROM headwater_events WHERE stream_id = stream.value), 0)) "
    "FROM json_each(?1) AS stream), "
    "CASE WHEN EXISTS (SELECT 1 FROM headwater_streams) THEN "
    "(SELECT json_group_array(json_array(known.stream_id, known.version, known.state)) "
    "FROM json_each(?1) AS stream "
    "CROSS JOIN headwater_streams AS known ON known.stream_id = stream.value) END "
    "FROM headwater_latest"
)
_decode_versions: Final = msgspec.json.Decoder(list[int]).decode
_decode_states: Final = msgspec.json.Decoder(list[tuple[str, int, str]]).decode
_RECEIPTS: Final = RowsAsJson(("hex(message_id)", "hex(digest)"), tuple[str, str])
_RECEIPT_COLUMNS: Final = (
    "headwater_receipts (consumer, message_id, digest, outcome, position, recorded_at)"
)
_SELECT_CHECKPOINT: Final = (
    "SELECT position, CASE WHEN worker IS NOT NULL THEN token END FROM headwater_checkpoints "
    "WHERE subscription = ? AND partition = ?"
)


class Batch:
    """Applies commits inside a transaction that is already open for writing.

    What the commits are compared with is read with a few statements, each is then accepted or
    refused in memory, and the accepted ones are written with a few statements more.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        batch: Sequence[Changes],
        *,
        now: int,
        collections: Mapping[str, Collection],
    ) -> None:
        """Look up what *batch* will be compared with."""
        self._cursor = connection.cursor()
        # A connection of the user's may have a row factory of the user's.
        self._cursor.row_factory = None
        self._batch, self._now = batch, now
        self._journal = Journal()
        appends: list[Append] = []
        changed: list[StreamChange] = []
        for changes in batch:
            appends += changes.appends
            changed += changes.streams
        streams = [*{one.stream_id for one in appends}.union(one.stream_id for one in changed)]
        self.head_before, row_version, recorded_at, newest, newest_erased, versions, states = (
            self._cursor.execute(_LOOK, (msgspec.json.encode(streams).decode(),)).fetchone()
        )
        known = dict(zip(streams, _decode_versions(versions), strict=True))
        closed = _decode_states(states) if states is not None else []
        for stream_id, version, _ in closed:
            known[stream_id] = max(known[stream_id], version)
        self._row_version_before = row_version
        self._recorded_at = max(now, recorded_at)
        self._streams = StreamsOverlay(
            self._cursor, self._journal, [(one, state) for one, _, state in closed], now=now
        )
        self._log = LogOverlay(
            self._cursor,
            self._journal,
            head=self.head_before,
            versions=known,
            erased_below=self._streams.erased_below,
            recorded_at=self._recorded_at,
        )
        self._log.load(appends, newest, newest_erased)
        self._rows = RowsOverlay(self._cursor, self._journal, collections, row_version=row_version)
        self._receipts: dict[tuple[str, bytes], bytes] = {}
        self._new_receipts: list[tuple[Any, ...]] = []
        self._checkpoints: dict[tuple[str, int], int] = {}
        self._tokens: dict[tuple[str, int], int | None] = {}
        self._moves: list[tuple[int, bytes | None, str, int]] = []
        self._load()

    @property
    def head(self) -> int:
        """The position of the last event, those of the batch included."""
        return self._log.head

    def apply(self) -> list[Outcome]:
        """Write the members that hold, and return each one's result or refusal; done once."""
        try:
            outcomes = [self._outcome(changes) for changes in self._batch]
            self._write()
        finally:
            # A cursor that an error's traceback keeps would keep the connection, and its lock.
            self._cursor.close()
        return outcomes

    def _load(self) -> None:
        guards: list[RowGuard] = []
        rows: list[RowChange] = []
        for changes in self._batch:
            guards += changes.guards
            rows += changes.rows
            if changes.receipts:
                self._load_receipts(changes.receipts)
            for move in changes.checkpoints:
                self._load_checkpoint(move.subscription, move.partition)
        if rows or guards:
            self._rows.load(guards, rows)

    def _outcome(self, changes: Changes) -> Outcome:
        row_version = self._rows.row_version
        try:
            committed = self._stage(changes)
        except HeadwaterError as refusal:
            self._journal.take_back()
            self._rows.row_version = row_version
            return refusal
        self._journal.accept()
        return committed

    def _stage(self, changes: Changes) -> Committed:
        """Check *changes* in the order that `Storage.commit` promises, staging as it goes."""
        if changes.deadline is not None and changes.deadline < self._now:
            raise DeadlineExceededError("Commit", from_microseconds(changes.deadline))
        head_before = self._log.head
        if changes.receipts:
            self._check_receipts(changes.receipts)
        if changes.checkpoints:
            self._move(changes.checkpoints)
        staged = [self._log.stage(append) for append in changes.appends]
        for one in staged:
            self._streams.check_open(one)
        for one in staged:
            self._log.check_expected(one)
        if changes.conditions:
            own = frozenset(position for one in staged for position in one.repeated)
            for condition in changes.conditions:
                self._log.check_condition(condition, own, own_from=head_before)
        for change in changes.streams:
            self._streams.stage(change, version=self._log.version(change.stream_id))
        for guard in changes.guards:
            self._rows.check(guard)
        for row in changes.rows:
            self._rows.stage(row)
        committed = _committed(staged)
        for receipt in changes.receipts:
            self._journal.push(
                self._new_receipts,
                (
                    receipt.consumer,
                    receipt.message_id,
                    receipt.digest,
                    receipt.outcome,
                    committed.position,
                    self._now,
                ),
            )
        return committed

    def _load_receipts(self, receipts: Sequence[NewReceipt]) -> None:
        for consumer in {receipt.consumer for receipt in receipts}:
            ids = {receipt.message_id for receipt in receipts if receipt.consumer == consumer}
            source = "headwater_receipts WHERE consumer = ? AND message_id IN (IN)"
            found = select_in(self._cursor, _RECEIPTS, source, ids, first=(consumer,))
            self._receipts.update(
                {(consumer, bytes.fromhex(id_)): bytes.fromhex(digest) for id_, digest in found}
            )

    def _check_receipts(self, receipts: Sequence[NewReceipt]) -> None:
        for receipt in receipts:
            place = receipt.consumer, receipt.message_id
            known = self._receipts.get(place)
            if known is None:
                self._journal.put(self._receipts, place, receipt.digest)
                continue
            message_id = UUID(bytes=receipt.message_id)
            if known == receipt.digest:
                raise ReceiptExistsError(receipt.consumer, message_id)
            raise IdempotencyConflictError("Message", message_id, "its content differs")

    def _load_checkpoint(self, subscription: str, partition: int) -> None:
        place = subscription, partition
        if place not in self._checkpoints:
            row = self._cursor.execute(_SELECT_CHECKPOINT, place).fetchone()
            self._checkpoints[place], self._tokens[place] = row or (NOT_OPEN, None)

    def _move(self, moves: Sequence[CheckpointMove]) -> None:
        for move in moves:
            place = move.subscription, move.partition
            if move.token is not None and move.token != self._tokens[place]:
                raise LeaseLostError(*place)
        for move in moves:
            place = move.subscription, move.partition
            actual = self._checkpoints[place]
            if actual == NOT_OPEN or actual != move.expected:
                raise CheckpointConflictError(*place, expected=move.expected, actual=actual)
            self._journal.put(self._checkpoints, place, move.to)
            self._journal.push(self._moves, (move.to, move.event_id, *place))

    def _write(self) -> None:
        self._log.write()
        self._streams.write()
        self._rows.write()
        cursor = self._cursor
        insert_rows(cursor, _RECEIPT_COLUMNS, self._new_receipts)
        if self._moves:
            cursor.executemany(
                "UPDATE headwater_checkpoints SET position = ?, event_id = ? "
                "WHERE subscription = ? AND partition = ?",
                self._moves,
            )
        head, row_version = self._log.head, self._rows.row_version
        if (head, row_version) != (self.head_before, self._row_version_before):
            cursor.execute(
                "UPDATE headwater_latest SET position = ?, row_version = ?, recorded_at = ?",
                (head, row_version, self._recorded_at),
            )


def _committed(staged: Sequence[Staged]) -> Committed:
    if len(staged) == 1:
        result = staged[0].result
        return Committed(result.position, (result,))
    results = tuple([one.result for one in staged])
    return Committed(max([result.position for result in results], default=0), results)
