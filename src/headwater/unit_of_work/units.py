"""Units: makes units of work on one storage, and runs work in them until it is committed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from headwater.clock import Clock
from headwater.domain.read_model import ReadModel
from headwater.domain.recording import RECORDERS
from headwater.errors import (
    ConflictError,
    HandlerCancelledError,
    IdempotencyConflictError,
    StorageError,
)
from headwater.ports.changes import Committed, NewReceipt
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.unit_of_work.advance import NO_ADVANCE, Advance
from headwater.unit_of_work.cancellation import cancelled_from_outside
from headwater.unit_of_work.collecting import IdSource, chance_id
from headwater.unit_of_work.lines import Lines
from headwater.unit_of_work.stored_types import StoredTypes
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork

T = TypeVar("T")

CONFLICT_RERUNS_MAX: Final = 100
"""How often a handler is run again because of a conflict, before the conflict is raised."""

_log = logging.getLogger("headwater")


class Idempotency(msgspec.Struct, Generic[T], frozen=True):
    """Makes work happen once in effect: the receipt it leaves, and how its result is stored."""

    consumer: str
    message_id: UUID
    digest: bytes
    encode: Callable[[T], str]
    decode: Callable[[str], T]


class Done(msgspec.Struct, Generic[T], frozen=True):
    """What work returned, and what its commit gave; `repeated` if an earlier run did it."""

    result: T
    committed: Committed
    repeated: bool = False


class Units(StoredTypes):
    """Makes units of work on *storage*.

    `context_of` names the bounded context of a class. Read models named in `elsewhere` live in
    a storage of their own, where handlers can read them, not write them. Those in `computed` are
    the rows of projections, of that version of their code.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        codec: EventCodec,
        clock: Clock | None = None,
        context_of: Callable[[type], str] = lambda _: "app",
        elsewhere: Mapping[type[ReadModel], Storage] | None = None,
        computed: Mapping[type[ReadModel], int] | None = None,
        conflict_reruns_max: int = CONFLICT_RERUNS_MAX,
        on_error: Callable[[str, Exception], None] | None = None,
    ) -> None:
        super().__init__(
            storage,
            codec=codec,
            clock=clock,
            context_of=context_of,
            elsewhere=elsewhere,
            computed=computed,
        )
        self._conflict_reruns_max = conflict_reruns_max
        self._on_error = on_error
        self._lines = Lines()
        self._at_work = 0
        self._idle: asyncio.Event | None = None

    def new(self, *, reads_only: bool = False, ids: IdSource = chance_id) -> UnitOfWork:
        """Return a unit of work that the caller commits."""
        return UnitOfWork(self, reads_only=reads_only, ids=ids)

    def unit_of_work(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commit at the end of an ``async with`` block; write nothing if it raises.

        A conflict is raised, not retried: the block can't be run again. `run` does that.
        """
        return self._one_unit()

    @asynccontextmanager
    async def _one_unit(self) -> AsyncGenerator[UnitOfWork]:
        unit = self.new()
        token = CURRENT_UNIT.set(unit)
        recorders = RECORDERS.set(unit.recorders)
        try:
            yield unit
            await unit.commit()
        finally:
            unit.close()
            RECORDERS.reset(recorders)
            CURRENT_UNIT.reset(token)
        await self.call_back(unit)

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        once: Idempotency[T] | None = None,
        reads_only: bool = False,
        ids: IdSource = chance_id,
        advance: Callable[[T], Advance] | None = None,
    ) -> Done[T]:
        """Run *work* in a fresh unit of work, commit, and run it again after a conflict.

        This is the one place where conflicts are retried, those of the unit itself, and at most
        `conflict_reruns_max` times; then the conflict is raised. From the second try on,
        contenders for one stream or row in this process wait in line, so each of them gets its
        turn. If *work* raises, nothing is written. With *once*, a message that was handled
        before gives the stored outcome.
        *advance* gives what to commit with the effects, from what *work* returned; a refusal
        because of that is raised at once.

        Raises:
            ConflictError: still in conflict after the last rerun.
            IdempotencyConflictError: *once* names an id that was used for another message.
        """
        self._at_work += 1
        try:
            return await self._run(work, once, reads_only, ids, advance)
        finally:
            self._at_work -= 1
            if not self._at_work and self._idle is not None:
                self._idle.set()

    async def drain(self, *, seconds: float) -> None:
        """Return when no work is running and no snapshot waits, or after *seconds*."""
        until = time.monotonic() + seconds
        if self._at_work:
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
        await self.write_snapshots(seconds=max(0.0, until - time.monotonic()))

    async def _run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        once: Idempotency[T] | None,
        reads_only: bool,  # noqa: FBT001 - passed on
        ids: IdSource,
        advance: Callable[[T], Advance] | None,
    ) -> Done[T]:
        if once is not None and (known := await self._known(once)) is not None:
            return known
        reruns = 0
        place: AbstractAsyncContextManager[None] = nullcontext()
        while True:
            unit = self.new(reads_only=reads_only, ids=ids)
            try:
                async with place:
                    done = await self._attempt(unit, work, once, advance)
            except Exception as error:
                # Somebody else may have handled the same message meanwhile: then that counts.
                if once is not None and (known := await self._known_after(once)) is not None:
                    return known
                if (
                    not isinstance(error, ConflictError)
                    or not unit.conflicted
                    or reruns == self._conflict_reruns_max
                ):
                    raise
                reruns += 1
                await self.look_again(error)
                place = self._lines.place_for(error)
            else:
                await self.call_back(unit)
                return done

    async def call_back(self, unit: UnitOfWork) -> None:
        """Run what waited for *unit*'s commit; failures are reported, never raised."""
        for callback in unit.callbacks:
            try:
                await callback()
            except asyncio.CancelledError:
                if cancelled_from_outside():
                    raise
                self._report(HandlerCancelledError("after_commit"))
            except Exception as error:  # noqa: BLE001 - the commit stands, whatever a callback says
                self._report(error)

    def _report(self, error: Exception) -> None:
        _log.error("after_commit: a callback failed; the commit stands", exc_info=error)
        if self._on_error is not None:
            self._on_error("after_commit", error)

    async def _attempt(
        self,
        unit: UnitOfWork,
        work: Callable[[UnitOfWork], Awaitable[T]],
        once: Idempotency[T] | None,
        advance: Callable[[T], Advance] | None,
    ) -> Done[T]:
        token = CURRENT_UNIT.set(unit)
        recorders = RECORDERS.set(unit.recorders)
        try:
            result = await work(unit)
            if once is not None:
                unit.add_receipt(
                    NewReceipt(
                        once.consumer, once.message_id.bytes, once.digest, once.encode(result)
                    )
                )
            with_it = advance(result) if advance is not None else NO_ADVANCE
            return Done(result, await unit.commit(with_it))
        finally:
            unit.close()
            RECORDERS.reset(recorders)
            CURRENT_UNIT.reset(token)

    async def _known_after(self, once: Idempotency[T]) -> Done[T] | None:
        """As `_known`, but what went wrong before must not be hidden by a storage that fails."""
        try:
            return await self._known(once)
        except IdempotencyConflictError:
            raise
        except StorageError:
            return None

    async def _known(self, once: Idempotency[T]) -> Done[T] | None:
        receipt = await self.storage.receipt(once.consumer, once.message_id.bytes)
        if receipt is None:
            return None
        if receipt.digest != once.digest:
            raise IdempotencyConflictError(
                "Message", once.message_id, f"{once.consumer} handled another message under it"
            )
        return Done(once.decode(receipt.outcome), Committed(receipt.position), repeated=True)
