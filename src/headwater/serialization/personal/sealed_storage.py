"""A storage whose texts are sealed on the way in and unsealed on the way out."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from headwater.ports.changes import Append, Changes, Committed, NewReceipt, RowChange
from headwater.ports.log import (
    EVERYTHING,
    LogFilter,
    LogPage,
    StoredEvent,
    StoredPayload,
)
from headwater.ports.rows import Row, RowQuery
from headwater.ports.storage import Storage, StoredReceipt
from headwater.serialization.personal.passing import Passing
from headwater.serialization.personal.sealing import OfForgotten, Sealing, Text, has_parcels
from headwater.streams import category_of

T = TypeVar("T")
Bind = Callable[[Storage], Awaitable[None]]


class SealedStorage(Passing):
    """Puts personal data under its keys before *inner* sees it, for everybody at one place.

    A page or commit without personal data passes as it is. What *inner* holds stays readable by
    all, except for what is in the parcels.
    """

    def __init__(self, inner: Storage, sealing: Sealing, *, bind: Bind) -> None:
        """Call *bind* with *inner* before something is sealed for it for the first time.

        That may write, and so wait for whoever has a transaction open; see `found_bound`.
        """
        super().__init__(inner)
        self._sealing = sealing
        self._bind, self._is_bound = bind, False
        self._personal_categories: set[str] = set()

    async def open(self) -> None:
        """Open the storage."""
        self._is_bound = False
        await self.inner.open()

    def found_bound(self) -> None:
        """Take it as known, until the next `open`, that *inner* notes these keys already."""
        self._is_bound = True

    # -------------------------------------------------------------------------- writing

    async def commit(self, changes: Changes) -> Committed:
        """Seal *changes* and commit them; raises as `Storage.commit`, and

        Raises:
            SubjectForgottenError: an event holds something of a subject who was forgotten.
            KeyStoreError: the keys can't be had, or are not this storage's; nothing was written.
        """
        return await self.inner.commit(await self.sealed(changes))

    async def sealed(self, changes: Changes) -> Changes:
        """Return *changes* as they are stored, for a commit that goes past this storage."""
        appends = await self.sealed_appends(changes.appends)
        rows = await self._rows(changes.rows)
        receipts = await self._receipts(changes.receipts)
        if appends is changes.appends and rows is changes.rows and receipts is changes.receipts:
            return changes
        return msgspec.structs.replace(changes, appends=appends, rows=rows, receipts=receipts)

    async def sealed_appends(self, appends: tuple[Append, ...]) -> tuple[Append, ...]:
        """Return *appends* with their events as they are stored."""
        personal = [
            event for append in appends for event in append.events if has_parcels(event.data)
        ]
        if not personal:
            return appends
        texts = await self._seal(
            [Text(event.data, _of_event(event.type, event.id)) for event in personal],
            of_forgotten=OfForgotten.REFUSE,
        )
        sealed = {
            id(event): msgspec.structs.replace(event, data=text)
            for event, text in zip(personal, texts, strict=True)
        }
        return tuple(
            msgspec.structs.replace(append, events=_replaced(append.events, sealed))
            for append in appends
        )

    async def _seal(self, texts: Sequence[Text], *, of_forgotten: OfForgotten) -> list[str]:
        if not self._is_bound:
            await self._bind(self.inner)
            self._is_bound = True
        return await self._sealing.seal(texts, of_forgotten=of_forgotten)

    async def _rows(self, rows: tuple[RowChange, ...]) -> tuple[RowChange, ...]:
        personal = [row for row in rows if has_parcels(row.data)]
        if not personal:
            return rows
        texts = await self._seal(
            [Text(row.data or "", _of_row(row.collection, row.key)) for row in personal],
            of_forgotten=OfForgotten.ERASE,
        )
        sealed = {
            id(row): msgspec.structs.replace(row, data=text)
            for row, text in zip(personal, texts, strict=True)
        }
        return _replaced(rows, sealed)

    async def _receipts(self, receipts: tuple[NewReceipt, ...]) -> tuple[NewReceipt, ...]:
        personal = [receipt for receipt in receipts if has_parcels(receipt.outcome)]
        if not personal:
            return receipts
        texts = await self._seal(
            [Text(r.outcome, _of_receipt(r.consumer, r.message_id)) for r in personal],
            of_forgotten=OfForgotten.ERASE,
        )
        sealed = {
            id(receipt): msgspec.structs.replace(receipt, outcome=text)
            for receipt, text in zip(personal, texts, strict=True)
        }
        return _replaced(receipts, sealed)

    # -------------------------------------------------------------------------- reading

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        """As `Log.read_stream`, unsealed."""
        return await self.unsealed_events(
            await self.inner.read_stream(
                stream_id, from_version=from_version, backwards=backwards, limit=limit
            )
        )

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """As `Log.read_payloads`, unsealed."""
        # Parcels are bound to the event's id, which is not among the payloads. Streams of a
        # category are alike: where one had parcels, others need not be read twice.
        category = category_of(stream_id)
        if category not in self._personal_categories:
            page = await self.inner.read_payloads(stream_id, from_version=from_version, limit=limit)
            if not any(has_parcels(data) for _, _, _, data in page):
                return page
            self._personal_categories.add(category)
        events = await self.read_stream(stream_id, from_version=from_version, limit=limit)
        return [(e.version, e.type, e.schema_version, e.data) for e in events]

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        """As `Log.read_log`, unsealed."""
        page = await self.inner.read_log(after=after, after_id=after_id, where=where, limit=limit)
        events = await self.unsealed_events(page.events)
        return page if events is page.events else msgspec.structs.replace(page, events=events)

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """As `Rows.get_rows`, unsealed."""
        rows = await self.inner.get_rows(collection, keys)
        unsealed = await self._unsealed_rows(collection, rows.values())
        return {**rows, **{row.key: row for row in unsealed}}

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """As `Rows.find_rows`, unsealed."""
        rows = await self.inner.find_rows(collection, query)
        unsealed = {row.key: row for row in await self._unsealed_rows(collection, rows)}
        return tuple(unsealed.get(row.key, row) for row in rows) if unsealed else rows

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """As `Storage.receipt`, unsealed."""
        receipt = await self.inner.receipt(consumer, message_id)
        if receipt is None or not has_parcels(receipt.outcome):
            return receipt
        text = Text(receipt.outcome, _of_receipt(consumer, message_id))
        (outcome,) = await self._sealing.unseal([text])
        return msgspec.structs.replace(receipt, outcome=outcome)

    async def unsealed_events(self, events: tuple[StoredEvent, ...]) -> tuple[StoredEvent, ...]:
        """Return *events*, which are as stored, as they are read; raises as `Sealing.unseal`."""
        personal = [event for event in events if has_parcels(event.data)]
        if not personal:
            return events
        texts = await self._sealing.unseal(
            [Text(event.data, _of_event(event.type, event.id)) for event in personal]
        )
        unsealed = {
            id(event): msgspec.structs.replace(event, data=text)
            for event, text in zip(personal, texts, strict=True)
        }
        return _replaced(events, unsealed)

    async def _unsealed_rows(self, collection: str, rows: Iterable[Row]) -> list[Row]:
        personal = [row for row in rows if has_parcels(row.data)]
        if not personal:
            return []
        texts = await self._sealing.unseal(
            [Text(row.data, _of_row(collection, row.key)) for row in personal]
        )
        return [
            msgspec.structs.replace(row, data=text)
            for row, text in zip(personal, texts, strict=True)
        ]


def as_stored(storage: Storage) -> Storage:
    """Return *storage* without what makes personal data readable."""
    return storage.inner if isinstance(storage, SealedStorage) else storage


def _replaced(all_of: tuple[T, ...], by_identity: Mapping[int, T]) -> tuple[T, ...]:
    return tuple(by_identity.get(id(one), one) for one in all_of)


def _of_event(type: str, event_id: bytes) -> tuple[str, ...]:
    return ("event", type, str(UUID(bytes=event_id)))


def _of_row(collection: str, key: str) -> tuple[str, ...]:
    return ("row", collection, key)


def _of_receipt(consumer: str, message_id: bytes) -> tuple[str, ...]:
    return ("receipt", consumer, str(UUID(bytes=message_id)))
