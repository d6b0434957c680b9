"""What mypy and pyright must infer of policies, and refuse; they read it, pytest does not."""

from collections.abc import AsyncIterator
from typing import assert_type

from headwater.resilience import (
    CircuitBreaker,
    Guard,
    Policy,
    PolicyHandler,
    Retry,
    RetryHandler,
    Timeout,
)


class Handler:
    async def handle(self, to: str, *, times: int = 1) -> bytes:
        return to.encode() * times


@Retry(attempts=3)
async def send(to: str, *, times: int = 1) -> bytes:
    return to.encode() * times


def plain(to: str) -> str:
    return to


async def stream(to: str) -> AsyncIterator[str]:
    yield to


async def uses() -> None:
    assert_type(await send("anna", times=2), bytes)
    await send(7)  # type: ignore[arg-type]
    policy = Policy(Retry(), CircuitBreaker(), Policy(Timeout(5)))
    assert_type(await policy.call(send, "anna", times=2), bytes)
    await policy.call(send, 7)  # type: ignore[arg-type]
    assert_type(policy.breakers, tuple[CircuitBreaker, ...])
    guard: Guard = policy
    assert_type(await guard.call(send, "anna"), bytes)


def refuses() -> None:
    Retry()(plain)  # type: ignore[arg-type]
    Retry()(stream)  # type: ignore[arg-type]
    Policy(plain)  # type: ignore[arg-type]


async def wraps() -> None:
    handler = RetryHandler(Handler(), attempts=3)
    assert_type(handler, Handler)
    assert_type(await handler.handle("anna"), bytes)
    assert_type(PolicyHandler(Handler, Retry(), Timeout(5)), type[Handler])
    RetryHandler(Handler(), attempt=3)  # type: ignore[call-arg]
