"""The effect ledger: calls outside that are made once, and never repeated blindly."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, overload
from uuid import UUID

import msgspec

from headwater.clock import Clock, Duration, microseconds_since_epoch, seconds_of
from headwater.errors import (
    ConfigurationError,
    RefusedError,
    RowConflictError,
    UncertainEffectError,
)
from headwater.ids import new_id
from headwater.operations.effects import BEGUN, DONE, UNCERTAIN, StoredEffect
from headwater.ports.storage import Storage
from headwater.resilience import Timeout
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.delivery import current_delivery
from headwater.subscriptions.effect_calls import (
    WITHIN_SECONDS,
    EffectCall,
    Happened,
    Reconcile,
)
from headwater.subscriptions.effects import Effects, KnownEffect, UncertainEffect
from headwater.subscriptions.fail_points import reach

T = TypeVar("T")

CLOCK_SKEW_SECONDS: Final = 5.0
"""By so much the clocks of workers may differ: for so much longer nobody takes over an effect."""

LOOK_AGAIN_SECONDS: Final = 0.5
"""How often somebody who waits for an effect that another is at looks whether it is done."""

PROBLEM_CHARS_MAX: Final = 500
"""The most characters that are kept of what went wrong."""

_MICROSECONDS: Final = 1_000_000


class EffectLedger:
    """Makes calls outside once each: a handler asks for it, and calls `once`.

    Each effect is reserved, done and recorded, with a commit of its own before and after it,
    whatever becomes of the handler. So one that was recorded is not done again when its event is
    handed over again. One that was reserved and not recorded is *uncertain*: nobody but the
    world outside knows whether it happened, and a function of yours is asked to find out.

    Results are stored as JSON in the clear: nothing personal should be in them.
    """

    def __init__(self, storage: Storage, *, codec: EventCodec, clock: Clock) -> None:
        self._effects, self._codec, self._clock = Effects(storage), codec, clock
        self._worker = str(new_id())
        self._under_way: set[tuple[str, str]] = set()

    @overload
    async def once(
        self,
        name: str,
        do: Callable[[], Awaitable[None]],
        /,
        *,
        reconcile: Reconcile[None] | None = None,
        undone: tuple[type[Exception], ...] = (),
        within: Duration = WITHIN_SECONDS,
        key: UUID | str | None = None,
    ) -> None: ...
    @overload
    async def once(
        self,
        name: str,
        do: Callable[[], Awaitable[T]],
        /,
        *,
        returns: type[T],
        reconcile: Reconcile[T] | None = None,
        undone: tuple[type[Exception], ...] = (),
        within: Duration = WITHIN_SECONDS,
        key: UUID | str | None = None,
    ) -> T: ...
    async def once(
        self,
        name: str,
        do: Callable[[], Awaitable[Any]],
        /,
        *,
        returns: Any = None,
        reconcile: Reconcile[Any] | None = None,
        undone: tuple[type[Exception], ...] = (),
        within: Duration = WITHIN_SECONDS,
        key: UUID | str | None = None,
    ) -> Any:
        """Return what *do* returns, now or when it was done before.

        An effect is told from others by *name* and *key*, which is the delivery's idempotency
        key unless it is given. *returns* is the type of the result, which is stored; without it
        *do* returns None. It is cancelled after *within* (seconds or timedelta, at most an hour).

        Where somebody else is at this effect, it waits for what comes of that; where nobody can
        be any more, *reconcile* is asked whether it has happened, and it is done if it has not.
        Whatever *do* raises leaves the effect uncertain, except *undone* and `RefusedError`,
        which mean that nothing has happened.

        Raises:
            UncertainEffectError: it is uncertain, and there is no *reconcile*.
            CallTimeoutError: *do* took longer than *within*; it is uncertain now.
            RoundTripError: the result would not come back as it is; it is uncertain now.
            ConfigurationError: there is no delivery here and no *key*, or an argument is out of
                its range.
        """
        call = EffectCall(name, self._key(key), do, returns, reconcile, undone, seconds_of(within))
        place = (call.name, call.key)
        while True:
            outcome: Happened[Any] | _Wait = _Wait(LOOK_AGAIN_SECONDS)
            if place not in self._under_way:
                self._under_way.add(place)
                try:
                    outcome = await self._outcome(call)
                finally:
                    self._under_way.discard(place)
            if isinstance(outcome, Happened):
                return outcome.result
            await self._clock.sleep(min(outcome.seconds, LOOK_AGAIN_SECONDS))

    async def settle(
        self,
        name: str,
        key: UUID | str,
        happened: Happened[Any] | None,
        *,
        returns: Any = None,
    ) -> None:
        """Say, for somebody who has looked, what became of an uncertain effect.

        None: it has not happened, and is done when its event is handed over again.

        Raises:
            ConfigurationError: there is no such effect, it is done, or somebody may be at it.
            RowConflictError: somebody has changed it meanwhile.
        """
        known = await self._effects.get(name, str(key))
        if known is None or known.effect.state == DONE or self._others_time(known.effect) > 0:
            state = "there is none" if known is None else f"it is {known.effect.state}"
            raise ConfigurationError(f"Effect {name!r} of {key} is not uncertain: {state}.")
        if happened is None:
            await self._effects.forget(known)
        else:
            result = self._codec.encode_value(happened.result, returns, exact=True)
            done = msgspec.structs.replace(known.effect, state=DONE, result=result, problem="")
            await self._effects.write(done, over=known)

    async def uncertain(self, *, limit: int = 100) -> Sequence[UncertainEffect]:
        """Return the effects that are uncertain among the *limit* oldest that are not done."""
        known = await self._effects.not_done(limit=limit)
        return [each.uncertain for each in known if self._others_time(each.effect) <= 0]

    async def prune(self, *, before: datetime) -> int:
        """Forget the effects that are done and were begun before *before*; return how many.

        What is handed over again after that is done again.
        """
        return await self._effects.prune(before=before)

    async def prune_used(self, before: datetime) -> None:
        """Do what `prune` does, if this process has used the ledger at all."""
        if self._effects.used:
            await self._effects.prune(before=before)

    # ------------------------------------------------------------------------- internals

    async def _outcome(self, call: EffectCall) -> "Happened[Any] | _Wait":
        """Return what came of an effect, done here or before; or how long others are at it."""
        known = await self._effects.get(call.name, call.key)
        if known is not None:
            effect = known.effect
            if effect.state == DONE:
                return Happened(self._codec.decode_value(effect.result, call.returns))
            # This process is at it nowhere else: what it once began has been cut off.
            mine = effect.worker == self._worker
            if not mine and (wait := self._others_time(effect)) > 0:
                return _Wait(wait)
            if call.reconcile is None:
                told = known.uncertain
                raise UncertainEffectError(
                    told.name, told.key, begun_at=told.begun_at, problem=told.problem
                )
        try:
            reserved = await self._effects.write(self._entry(call, known), over=known)
        except RowConflictError:
            return _Wait(0.0)
        return await self._work(call, known, reserved)

    async def _work(
        self, call: EffectCall, known: KnownEffect | None, reserved: KnownEffect
    ) -> Happened[Any]:
        """Do what was *reserved*, unless it turns out that it has happened; record it."""
        begun = reserved.effect
        try:
            happened = None
            if known is not None and call.reconcile is not None:
                happened = await self._timeout(call).call(call.reconcile, known.uncertain)
            if happened is None:
                happened = Happened(await self._do(call))
            result = self._codec.encode_value(happened.result, call.returns, exact=True)
        except _UndoneError as undone:
            await self._effects.note(None, over=reserved)
            raise undone.error from undone.error.__cause__
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:PROBLEM_CHARS_MAX]
            failed = msgspec.structs.replace(begun, state=UNCERTAIN, problem=problem)
            await self._effects.note(failed, over=reserved)
            raise
        done = msgspec.structs.replace(begun, state=DONE, result=result)
        await self._effects.write(done, over=reserved)
        return Happened(self._codec.decode_value(result, call.returns))

    async def _do(self, call: EffectCall) -> Any:
        reach("effect-reserved")
        try:
            result = await self._timeout(call).call(call.do)
        except Exception as error:
            if isinstance(error, (*call.undone, RefusedError)):
                raise _UndoneError(error) from error
            raise
        reach("effect-done")
        return result

    def _timeout(self, call: EffectCall) -> Timeout:
        return Timeout(call.seconds, clock=self._clock)

    def _others_time(self, effect: StoredEffect) -> float:
        """Return for how many seconds somebody may still be at *effect*, 0 or less for nobody."""
        if effect.state != BEGUN:
            return 0.0
        if effect.worker == self._worker:
            under_way = (effect.name, effect.key) in self._under_way
            return LOOK_AGAIN_SECONDS if under_way else 0.0
        return (effect.until - microseconds_since_epoch(self._clock.now())) / _MICROSECONDS

    def _entry(self, call: EffectCall, known: KnownEffect | None) -> StoredEffect:
        now = microseconds_since_epoch(self._clock.now())
        # First it is found out, then it may be done.
        steps = 1 if known is None else 2
        until = now + round((steps * call.seconds + CLOCK_SKEW_SECONDS) * _MICROSECONDS)
        begun_at = now if known is None else known.effect.begun_at
        return StoredEffect(call.name, call.key, BEGUN, begun_at, until, self._worker)

    def _key(self, key: UUID | str | None) -> str:
        if key is not None:
            return str(key)
        delivery = current_delivery()
        if delivery is None:
            raise ConfigurationError(
                "EffectLedger.once: no event is handed over here, so nothing tells this effect "
                "from others of its name. Give it key=…, such as the id of a command or order."
            )
        return str(delivery.idempotency_key)


class _UndoneError(Exception):
    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)


class _Wait(msgspec.Struct, frozen=True):
    """Somebody else may be at the effect for so many seconds."""

    seconds: float
