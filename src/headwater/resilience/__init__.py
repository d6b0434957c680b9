"""Resilience: policies on any async function, which know nothing of events.

`Policy(Retry(), CircuitBreaker())` puts the first one outermost. Each is used as a decorator or by
``await policy.call(function, *args)``, where a block makes sense with ``async with``, and around
all ``handle…`` methods of an object or class by its wrapper, such as `RetryHandler`.

To all of them a refusal (`RefusedError`) is an answer, and cancellation passes through untouched.
"""

from headwater.resilience.attempts import attempt_subject, current_attempt, seconds_left
from headwater.resilience.breaker_states import BreakerChange, BreakerState
from headwater.resilience.bulkhead import Bulkhead
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.resilience.fallback import Fallback
from headwater.resilience.guards import Guard
from headwater.resilience.handlers import (
    BulkheadHandler,
    CircuitBreakerHandler,
    FallbackHandler,
    HandlerWrapper,
    PolicyHandler,
    RateLimitHandler,
    RetryHandler,
    TimeoutHandler,
)
from headwater.resilience.policy import Policy
from headwater.resilience.rate_limit import RateLimit
from headwater.resilience.retry import Retry
from headwater.resilience.thresholds import FailureCount, FailureRate
from headwater.resilience.timeouts import Timeout

__all__ = [
    "BreakerChange",
    "BreakerState",
    "Bulkhead",
    "BulkheadHandler",
    "CircuitBreaker",
    "CircuitBreakerHandler",
    "FailureCount",
    "FailureRate",
    "Fallback",
    "FallbackHandler",
    "Guard",
    "HandlerWrapper",
    "Policy",
    "PolicyHandler",
    "RateLimit",
    "RateLimitHandler",
    "Retry",
    "RetryHandler",
    "Timeout",
    "TimeoutHandler",
    "attempt_subject",
    "current_attempt",
    "seconds_left",
]
