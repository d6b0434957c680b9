"""Retry: a call that failed is made again, later."""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, ParamSpec, TypeVar

from headwater.clock import Clock, Duration, SystemClock
from headwater.errors import CallRejectedError
from headwater.resilience.arguments import (
    ErrorTypes,
    checked_count,
    checked_number,
    checked_seconds,
)
from headwater.resilience.attempts import attempt_number
from headwater.resilience.failures import is_refusal, reason_of
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable, name_of
from headwater.resilience.retry_attempts import Attempts
from headwater.resilience.retry_rules import Delay, RetryRules

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS: Final = 4
DELAY_SECONDS: Final = 1.0
FACTOR: Final = 2.0
FACTOR_MAX: Final = 1000.0
DELAY_SECONDS_MAX: Final = 60.0

_log = logging.getLogger("headwater")


class Retry(Decorating):
    """Makes a call that failed again, *attempts* times in all.

    Before attempt n + 1 it waits a random time between 0 and
    ``min(delay_max, delay * factor ** (n - 1))``, so that callers which failed together do not
    come back together; with ``jitter=False`` exactly that long. With the defaults: up to 1, 2 and
    4 seconds. When it gives up, the last attempt's own exception comes out.

    Args:
        attempts: how often the function is called at most, the first time included; 1 or more.
        delay: the wait after the first attempt; seconds or timedelta, 0 or more.
        factor: by what the wait grows from one attempt to the next; 1 to `FACTOR_MAX`.
        delay_max: the longest wait that is computed so.
        jitter: whether the wait is drawn at random up to what is computed.
        total_max: no attempt begins later than this after the first; it ends none that runs,
            which a `Timeout` does. Without it there is no such limit.
        on: classes of errors after which the call is made again.
        never: classes after which it isn't.
        delays: classes after which it is made again after a wait of their own, without jitter and
            whatever `delay_max`: seconds, a timedelta, or a function of the error.
        clock: what it waits by.
        uniform: ``uniform(low, high)`` draws the wait; ``Random(seed).uniform`` repeats itself.

    Of `on`, `never` and `delays` the class nearest to the error's own decides. `RefusedError` is an
    answer and never retried; `CircuitOpenError`, `ConfigurationError` and `UncertainEffectError`
    only if they are named. An exception group is retried if there is something to retry in it and
    nothing that must not be, refusals left aside; after the longest of the waits that its members
    have of their own.

    Use it as a decorator, by `call`, or as ``async for attempt in retry: async with attempt: …``.
    It is no context manager, for a block can't be run again. It keeps no state, so one object can
    be shared by any tasks and threads.

    Raises:
        ConfigurationError: an argument is out of its range, or one class is named twice.

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS, 2015 ("full jitter").
    """

    def __init__(
        self,
        attempts: int = ATTEMPTS,
        *,
        delay: Duration = DELAY_SECONDS,
        factor: float = FACTOR,
        delay_max: Duration = DELAY_SECONDS_MAX,
        jitter: bool = True,
        total_max: Duration | None = None,
        on: ErrorTypes = Exception,
        never: ErrorTypes = (),
        delays: Mapping[type[Exception], Delay] | None = None,
        clock: Clock | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._attempts = checked_count("attempts", attempts, least=1)
        self._delay = checked_seconds("delay", delay, zero=True)
        self._factor = checked_number("factor", factor, least=1, most=FACTOR_MAX)
        self._delay_max = checked_seconds("delay_max", delay_max, zero=True)
        self._jitter = jitter
        self._total_max = None if total_max is None else checked_seconds("total_max", total_max)
        self._rules = RetryRules(on=on, never=never, delays=delays or {})
        self.clock: Clock = clock or SystemClock()
        self._uniform = uniform

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)``, again after failures; return its result.

        Raises:
            Exception: what the last attempt raised.
        """
        started = 0.0 if self._total_max is None else self.clock.monotonic()
        number = 1
        outer = attempt_number.get()
        # Almost always it is 1 already, and setting it costs more than all the rest.
        if outer != 1:
            attempt_number.set(1)
        try:
            while True:
                try:
                    pending = function(*args, **kwargs)
                    if type(pending) is not COROUTINE:
                        check_awaitable(pending, function)
                    answer = await pending
                except Exception as error:
                    delay = self.delay_after(
                        error, number, started=started, what=name_of(function, args)
                    )
                    if delay is None:
                        raise
                else:
                    if number > 1:
                        self.note_success(name_of(function, args), number)
                    return answer
                await self.clock.sleep(delay)
                number += 1
                attempt_number.set(number)
        finally:
            if outer != 1 or number != 1:
                attempt_number.set(outer)

    def __aiter__(self) -> Attempts:
        """Return attempts for a block: ``async for attempt in retry: async with attempt: …``.

        The loop ends after the first block that ends without an error; leave it by ``return`` or
        ``break`` as you like. The error of the last attempt comes out of its block.
        """
        return Attempts(self)

    def started(self) -> float:
        """Return when the first attempt starts, as `delay_after` wants it."""
        return 0.0 if self._total_max is None else self.clock.monotonic()

    def delay_after(
        self, error: Exception, attempt: int, *, started: float, what: str
    ) -> float | None:
        """Return the seconds to wait after *attempt* of *what* failed; None to give up. Log it."""
        if is_refusal(error):
            return None
        which, reason = f"{what}: attempt {attempt} of {self._attempts}", reason_of(error)
        told = f"{which} failed with {reason}"
        decision = self._rules.decide(error)
        if not decision.again:
            # What becomes of it decides whoever called: a subscription may wait and go on.
            if isinstance(error, CallRejectedError):
                told = f"{which} was not let through ({reason})"
            _log.info("%s; that is not retried on the spot", told)
            return None
        if attempt >= self._attempts:
            _log.warning("%s; gave up", told)
            return None
        delay = self._backoff(attempt) if decision.wait is None else decision.wait
        if self._total_max is not None:
            past = self.clock.monotonic() - started
            if round(past + delay, 6) > self._total_max:
                _log.warning(
                    "%s; gave up, because %.3g s and a wait of %.3g s are more than %.3g s in all",
                    *(told, past, delay, self._total_max),
                )
                return None
        _log.info("%s; again in %.3g s", told, delay)
        return delay

    def note_success(self, what: str, attempt: int) -> None:
        """Log that *attempt* of *what*, which is not the first, succeeded."""
        _log.info("%s: attempt %d of %d succeeded", what, attempt, self._attempts)

    def _backoff(self, attempt: int) -> float:
        try:
            grown = self._delay * self._factor ** (attempt - 1)
        except OverflowError:
            grown = self._delay_max
        longest = min(self._delay_max, grown)
        return self._uniform(0.0, longest) if self._jitter else longest
