"""Circuit breaker: what fails again and again is left alone for a while."""

import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from headwater.clock import Clock, Duration, SystemClock
from headwater.errors import CircuitOpenError
from headwater.resilience import blocks
from headwater.resilience.arguments import (
    ErrorTypes,
    checked_count,
    checked_seconds,
    checked_text,
)
from headwater.resilience.attempts import subject_keys
from headwater.resilience.breaker_states import (
    BreakerChange,
    BreakerState,
    Listener,
    Phase,
    check_listener,
)
from headwater.resilience.failures import reason_of
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable
from headwater.resilience.thresholds import Threshold, tally_of
from headwater.resilience.verdicts import Verdict, Verdicts

P = ParamSpec("P")
T = TypeVar("T")

FAILURES: Final = 5
OPEN_SECONDS: Final = 60.0

_CLOSED, _OPEN, _HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
_log = logging.getLogger("headwater")


class CircuitBreaker(Decorating):
    """Rejects calls with `CircuitOpenError` for *open_for* after too many failures.

    Then it is half-open: it lets *probes* calls through at once and rejects the others. After
    *successes* of them it closes; the first that fails opens it again. A call that was admitted
    before a change of state says nothing to the state after it.

    A failure is an error of a class in *counts* and not in *ignores*, the nearest to its own
    deciding. Everything else is an answer and counts as a success, refusals too, except what says
    nothing about what is guarded: cancellation and other errors that are no `Exception`, and
    `CallRejectedError`, `ConfigurationError` and `UncertainEffectError` unless they are named. A
    probe that ends so gives its place back. An exception group is a failure if one of its members
    is.

    Under `attempt_subject` the failures of one subject count once, until the state changes or the
    subject succeeds.

    Args:
        failures: so many in a row open it; or a `FailureCount` or a `FailureRate`.
        open_for: seconds or timedelta, above 0.
        probes: how many calls at once are let through while it is half-open; 1 or more.
        successes: so many probes that succeed close it; 1 or more.
        counts: classes of errors that are failures.
        ignores: classes of errors that are none.
        listeners: plain functions that are told each `BreakerChange`. What one of them raises is
            logged.
        name: how it is called in errors and in the log.
        clock: what it takes the time from.

    Use it as a decorator, by `call`, or with ``async with``. One object, shared by all calls to
    the same thing, can be used from any tasks, event loops and threads.

    Raises:
        ConfigurationError: an argument is out of its range, or one class is named twice.
    """

    def __init__(
        self,
        failures: Threshold = FAILURES,
        *,
        open_for: Duration = OPEN_SECONDS,
        probes: int = 1,
        successes: int = 1,
        counts: ErrorTypes = Exception,
        ignores: ErrorTypes = (),
        listeners: Sequence[Listener] = (),
        name: str = "circuit breaker",
        clock: Clock | None = None,
    ) -> None:
        self._threshold = failures
        self._open_for = checked_seconds("open_for", open_for)
        self._probes = checked_count("probes", probes, least=1)
        self._successes = checked_count("successes", successes, least=1)
        self._verdicts = Verdicts(counts=counts, ignores=ignores)
        self.name: Final = checked_text("name", name)
        self.clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._phase = Phase(_CLOSED, 0, tally=tally_of(failures))
        for listener in listeners:
            self.add_listener(listener)

    # -------------------------------------------------------------------------- what it says

    @property
    def state(self) -> BreakerState:
        """What it would do with a call now: half-open as soon as its time of being open is up."""
        phase = self._phase
        if phase.state is _OPEN and self.clock.monotonic() >= phase.until:
            return _HALF_OPEN
        return phase.state

    @property
    def open_until(self) -> float | None:
        """Until when it is open, in seconds of ``clock.monotonic()``; None if it isn't."""
        phase = self._phase
        is_open = phase.state is _OPEN and self.clock.monotonic() < phase.until
        return phase.until if is_open else None

    def counts(self, error: BaseException) -> bool:
        """Return whether *error* of a call would be a failure."""
        return self._verdicts.of(error) is Verdict.FAILURE

    def add_listener(self, listener: Listener) -> None:
        """Have *listener* told every change from now on.

        Raises:
            ConfigurationError: it is an ``async def``, or can't be called.
        """
        check_listener(listener)
        with self._lock:
            self._listeners = (*self._listeners, listener)

    # -------------------------------------------------------------------------- what it does

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` if the breaker lets it through.

        Raises:
            CircuitOpenError: it doesn't; *function* was not called.
        """
        # Reading one attribute is atomic, so a call that changes nothing takes no lock.
        phase = self._phase
        if phase.state is not _CLOSED:
            phase = self._admit()
        try:
            pending = function(*args, **kwargs)
            if type(pending) is not COROUTINE:
                check_awaitable(pending, function)
            answer = await pending
        except BaseException as error:
            self._note(phase, error)
            raise
        if phase.watches_successes:
            self._note(phase, None)
        return answer

    async def __aenter__(self) -> None:
        """Begin a block, which counts as a call.

        Raises:
            CircuitOpenError: the breaker does not let it through.
        """
        phase = self._phase
        blocks.enter(self, phase if phase.state is _CLOSED else self._admit())

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        phase: Phase = blocks.leave(self)
        if error is not None or phase.watches_successes:
            self._note(phase, error)

    # --------------------------------------------------------------------------- how it does

    def _admit(self) -> Phase:
        """Return the phase that a call belongs to; it has a probe's place if half-open."""
        change: BreakerChange | None = None
        with self._lock:
            phase = self._phase
            if phase.state is _CLOSED:
                return phase
            if phase.state is _OPEN:
                if self.clock.monotonic() < phase.until:
                    raise self._open_error(phase)
                over = f"its {self._open_for:.3g} s are over"
                change = self._enter(_HALF_OPEN, over, cause=phase.reason)
                phase = self._phase
            elif phase.probes >= self._probes:
                raise self._open_error(phase)
            phase.probes += 1
        if change is not None:
            self._tell(change)
        return phase

    def _note(self, phase: Phase, error: BaseException | None) -> None:
        """Note how a call that was admitted in *phase* ended."""
        verdict = self._verdicts.of(error)
        change: BreakerChange | None = None
        with self._lock:
            if phase is not self._phase:
                return
            if phase.state is _HALF_OPEN:
                phase.probes -= 1
            if verdict is Verdict.FAILURE and error is not None:
                change = self._failed(phase, error)
            elif verdict is Verdict.ANSWER:
                change = self._succeeded(phase)
            phase.look()
        if change is not None:
            self._tell(change)

    def _failed(self, phase: Phase, error: BaseException) -> BreakerChange | None:
        if phase.state is _HALF_OPEN:
            return self._enter(_OPEN, f"a probe failed with {reason_of(error)}")
        if phase.counted(subject_keys.get()):
            return None
        reason = phase.tally.failed(self.clock.monotonic())
        if reason is None:
            return None
        return self._enter(_OPEN, f"{reason}, the last with {reason_of(error)}")

    def _succeeded(self, phase: Phase) -> BreakerChange | None:
        if phase.state is _HALF_OPEN:
            phase.successes += 1
            if phase.successes < self._successes:
                return None
            return self._enter(_CLOSED, f"{phase.successes} successful probe(s)")
        # Of something larger that this is a part of, it says nothing.
        for subject in subject_keys.get()[:1]:
            phase.subjects.pop(subject, None)
        phase.tally.succeeded(self.clock.monotonic())
        return None

    def _enter(self, state: BreakerState, reason: str, *, cause: str = "") -> BreakerChange:
        """Begin a phase; the caller has the lock, and tells the change when it has given it up.

        *cause* is why it had opened, if that is not *reason*.
        """
        before, now = self._phase, self.clock.now()
        number = before.number + 1
        # Whole microseconds, as the manual clock counts: who sleeps until then is not early.
        until = round(self.clock.monotonic() + self._open_for, 6)
        ends = now + timedelta(seconds=self._open_for) if state is _OPEN else None
        self._phase = Phase(
            state,
            number,
            tally=tally_of(self._threshold),
            until=until,
            ends=ends,
            reason=cause or reason,
        )
        return BreakerChange(self.name, number, before.state, state, now, ends, reason)

    def _tell(self, change: BreakerChange) -> None:
        level = logging.WARNING if change.after is _OPEN else logging.INFO
        until = "" if change.until is None else f" until {change.until}"
        _log.log(level, "%r is %s%s: %s", self.name, change.after.value, until, change.reason)
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # noqa: BLE001 - the call goes on, whatever a listener does
                _log.exception("a listener of %r failed on %s", self.name, change)

    def _open_error(self, phase: Phase) -> CircuitOpenError:
        seconds = phase.until - self.clock.monotonic() if phase.state is _OPEN else 0.0
        until = phase.ends or self.clock.now()
        return CircuitOpenError(self.name, until=until, seconds=seconds, reason=phase.reason)
