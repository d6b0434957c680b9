"""Other Python libraries for resilience, each doing what `resilience.py` measures of ours.

A peer is a function that returns operations by column; one that is not installed raises
ImportError and is passed over. All are set up as ours: four attempts, a breaker of five failures.
"""

# Peers are imported by name, because none of them is installed where the types are checked.

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

Operation = Callable[[], Awaitable[object]]
Operations = dict[str, Operation]
"""Column to a call that passes."""

INSTALL = "tenacity stamina purgatory"


def tenacity(work: Callable[[], Awaitable[int]]) -> Operations:
    of: Any = import_module("tenacity")
    retry = of.retry(
        stop=of.stop_after_attempt(4),
        wait=of.wait_random_exponential(multiplier=1, max=60),
        reraise=True,
    )
    retrying = of.AsyncRetrying(
        stop=of.stop_after_attempt(4), wait=of.wait_random_exponential(max=60), reraise=True
    )

    async def block() -> None:
        async for attempt in retrying:
            with attempt:
                await work()

    async def call() -> Any:
        return await retrying(work)

    return {"retry": retry(work), "retry, call": call, "retry, block": block}


def stamina(work: Callable[[], Awaitable[int]]) -> Operations:
    of: Any = import_module("stamina")
    options: dict[str, Any] = {"on": Exception, "attempts": 4, "timeout": None, "wait_initial": 1.0}
    caller = of.AsyncRetryingCaller(attempts=4, timeout=None, wait_initial=1.0).on(Exception)

    async def block() -> None:
        async for attempt in of.retry_context(**options):
            with attempt:
                await work()

    async def call() -> Any:
        return await caller(work)

    return {"retry": of.retry(**options)(work), "retry, call": call, "retry, block": block}


def purgatory(work: Callable[[], Awaitable[int]]) -> Operations:
    of: Any = import_module("purgatory")
    factory = of.AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=60)

    async def block() -> None:
        async with await factory.get_breaker("mail"):
            await work()

    return {"circuit breaker": factory("mail")(work), "circuit breaker, block": block}


PEERS: dict[str, Callable[[Callable[[], Awaitable[int]]], Operations]] = {
    "tenacity": tenacity,
    "stamina": stamina,
    "purgatory": purgatory,
}
