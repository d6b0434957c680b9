"""Dry runs: a real handler gets an event, and what it would have written is shown."""

from collections.abc import Mapping, Sequence

import msgspec

from headwater.app.wiring import Wiring
from headwater.domain.recording import RECORDERS
from headwater.errors import ConfigurationError, DeliveryNotHeldError, DryRunError
from headwater.operations.dead_letters.deliveries import HeldDelivery
from headwater.ports.changes import Changes, Committed, RowChange
from headwater.ports.log import EVERYTHING, LogFilter, LogPage, StoredEvent, StoredPayload
from headwater.ports.rows import Row, RowQuery
from headwater.ports.sealed import PERSONAL_PREFIX
from headwater.ports.storage import StoredReceipt
from headwater.serialization.personal import unpacked
from headwater.serialization.personal.passing import Passing
from headwater.subscriptions.failures.handling import FailureHandling
from headwater.subscriptions.failures.redelivery import Gone, Unknown, Unreadable
from headwater.subscriptions.failures.trouble import Trouble, trouble_of
from headwater.subscriptions.subscription import Arrival


class WouldAppend(msgspec.Struct, frozen=True):
    """An event that a handler would have appended; `data` is JSON text."""

    stream_id: str
    type: str
    data: str


class WouldWrite(msgspec.Struct, frozen=True):
    """A row that a handler would have written; `data` is JSON text, None if it is deleted."""

    collection: str
    key: str
    data: str | None


class DryRun(msgspec.Struct, frozen=True):
    """What came of a handler: how it failed, or what it would have committed."""

    delivery: str
    failure: Trouble | None = None
    appends: tuple[WouldAppend, ...] = ()
    rows: tuple[WouldWrite, ...] = ()


class DryStorage(Passing):
    """A storage that can be read, and refuses every commit."""

    async def commit(self, changes: Changes) -> Committed:
        """Refuse.

        Raises:
            DryRunError: always.
        """
        raise DryRunError

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        """As `Log.read_stream`."""
        return await self.inner.read_stream(
            stream_id, from_version=from_version, backwards=backwards, limit=limit
        )

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """As `Log.read_payloads`."""
        return await self.inner.read_payloads(stream_id, from_version=from_version, limit=limit)

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        """As `Log.read_log`."""
        return await self.inner.read_log(after=after, after_id=after_id, where=where, limit=limit)

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """As `Rows.get_rows`."""
        return await self.inner.get_rows(collection, keys)

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """As `Rows.find_rows`."""
        return await self.inner.find_rows(collection, query)

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """As `Storage.receipt`."""
        return await self.inner.receipt(consumer, message_id)


async def dry_run(
    wiring: Wiring, delivery: HeldDelivery, *, data: str | None, external_too: bool
) -> DryRun:
    """Hand the event of *delivery* to its handler in *wiring*, whose storages are dry.

    Raises:
        ConfigurationError: the handler is not one of the app, or reaches outside of the storage,
            unless *external_too*: what it calls there is harmless.
        DeliveryNotHeldError: there is nothing to hand over.
    """
    handled = wiring.subscribed.handled.get(delivery.subscription)
    if handled is None:
        return await _fold(wiring, delivery, data=data)
    if handled.external and not external_too:
        raise ConfigurationError(
            f"{delivery.subscription!r} may reach outside of the storage, where a dry run can't "
            f"undo what it does. Declare it with external=False if it does not, or give "
            f"replacements for what it calls: app.dead_letters.dry_run(id, replacements={{…}}), "
            f"or headwater dlq dry-run ID --stand-ins --app with a function that makes the app "
            f"with them."
        )
    again = await _again(handled.handling, delivery, data=data)
    if isinstance(again, DryRun):
        return again
    await wiring.units.prepare(aggregates=wiring.types.aggregates, models=wiring.types.models)
    try:
        return await _run(wiring, delivery, again)
    finally:
        await wiring.mediator.aclose()
        if wiring.around.container is not None:
            await wiring.around.container.close()


async def _again(
    handling: FailureHandling, delivery: HeldDelivery, *, data: str | None
) -> Sequence[Arrival] | DryRun:
    again = await handling.again(delivery, data=data)
    if isinstance(again, Gone):
        raise DeliveryNotHeldError(delivery.id, again.why)
    if isinstance(again, Unknown | Unreadable):
        return DryRun(delivery.id, trouble_of(again.error))
    return again


async def _fold(wiring: Wiring, delivery: HeldDelivery, *, data: str | None) -> DryRun:
    """Fold the event of *delivery* into the row that it is for."""
    found = await wiring.projections.with_subscription(delivery.subscription)
    if found is None:
        raise ConfigurationError(
            f"The app has no subscriber or projection {delivery.subscription!r}, or other code "
            f"than this computes that generation of it."
        )
    folded = wiring.subscribed.folded(*found)
    again = await _again(folded.handling, delivery, data=data)
    if isinstance(again, DryRun):
        return again
    try:
        rows, worked = await folded.consumer.tried(again)
    except Exception as error:  # noqa: BLE001 - as below
        return DryRun(delivery.id, trouble_of(error))
    if worked.failure is not None:
        return DryRun(delivery.id, trouble_of(worked.failure))
    return DryRun(delivery.id, rows=_would_write(rows))


async def _run(wiring: Wiring, delivery: HeldDelivery, arrivals: Sequence[Arrival]) -> DryRun:
    hand_over = wiring.subscribed.handled[delivery.subscription].consumer.hand_over.unguarded()
    unit = wiring.units.new()
    recorders = RECORDERS.set(unit.recorders)
    try:
        for arrival in arrivals:
            await hand_over((arrival,), unit)
        await unit.complete()
        changes = unit.changes()
    except Exception as error:  # noqa: BLE001 - what came of it is the answer
        return DryRun(delivery.id, trouble_of(error))
    finally:
        RECORDERS.reset(recorders)
        unit.close()
    return DryRun(
        delivery.id,
        appends=tuple(
            WouldAppend(append.stream_id, event.type, _shown(event.data))
            for append in changes.appends
            for event in append.events
        ),
        rows=_would_write(changes.rows),
    )


def _would_write(rows: Sequence[RowChange]) -> tuple[WouldWrite, ...]:
    return tuple(
        WouldWrite(row.collection, row.key, None if row.data is None else _shown(row.data))
        for row in rows
    )


def _shown(data: str) -> str:
    return unpacked(data) if data.startswith(PERSONAL_PREFIX) else data
