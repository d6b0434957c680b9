"""What a call that passes costs under each policy, next to the bare call, in one run.

    python -m benchmarks.resilience                   # ours, and every peer that is installed
    python -m benchmarks.resilience --no-peers
    python -m benchmarks.resilience --json out.json   # or --json - for stdout
    pip install tenacity stamina purgatory            # the peers

Every figure is a ratio: the median time of the call under a policy by that of the bare call,
measured in turns in the same process, so that the machine's mood falls on both. The function
does nothing but return, so this is all overhead; a decorated function unless it says otherwise.
The limits are our own. "timeout" is held against ``async with asyncio.timeout``, which it is made
of, "bulkhead" against ``async with asyncio.Semaphore``, which is for one event loop only.
"""

import argparse
import asyncio
import json
import logging
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks._resilience_peers import INSTALL, PEERS, Operation, Operations
from headwater.resilience import (
    Bulkhead,
    CircuitBreaker,
    FailureRate,
    Fallback,
    Policy,
    RateLimit,
    Retry,
    Timeout,
)

REPEATS = 15
TARGET_SECONDS = 0.05
BETWEEN_TURNS = 500


async def work() -> int:
    return 7


async def under_timeout() -> int:
    async with asyncio.timeout(60):
        return await work()


_semaphore = asyncio.Semaphore(100)


async def under_semaphore() -> int:
    async with _semaphore:
        return await work()


# --------------------------------------------------------------------------- what is measured


def calling(policy: Policy | Retry | CircuitBreaker) -> Operation:
    async def call() -> int:
        return await policy.call(work)

    return call


def retry_block() -> Operation:
    retry = Retry()

    async def block() -> None:
        async for attempt in retry:
            async with attempt:
                await work()

    return block


def breaker_block() -> Operation:
    breaker = CircuitBreaker()

    async def block() -> None:
        async with breaker:
            await work()

    return block


CASES: dict[str, tuple[Operation, Operation, str, float]] = {
    "retry": (work, Retry()(work), "await work()", 12),
    "retry, call": (work, calling(Retry()), "await work()", 12),
    "retry, block": (work, retry_block(), "await work()", 60),
    "circuit breaker": (work, CircuitBreaker()(work), "await work()", 10),
    "circuit breaker, block": (work, breaker_block(), "await work()", 40),
    "circuit breaker, rate": (
        work,
        CircuitBreaker(FailureRate(0.5, window=60))(work),
        "await work()",
        60,
    ),
    "fallback": (work, Fallback(lambda error: 0)(work), "await work()", 10),
    "retry and breaker": (work, Policy(Retry(), CircuitBreaker())(work), "await work()", 16),
    "timeout": (under_timeout, Timeout(60)(work), "asyncio.timeout", 1.6),
    "bulkhead": (under_semaphore, Bulkhead(100)(work), "asyncio.Semaphore", 3),
    "rate limit": (work, RateLimit(10**9)(work), "await work()", 30),
}

# --------------------------------------------------------------------------- measuring


def looping(operation: Operation) -> Callable[[int], Awaitable[None]]:
    async def run(count: int) -> None:
        for _ in range(count // BETWEEN_TURNS):
            for _ in range(BETWEEN_TURNS):
                await operation()
            # Lets the event loop forget the timers that were cancelled.
            await asyncio.sleep(0)

    return run


async def seconds(run: Callable[[int], Awaitable[None]], count: int) -> float:
    started = time.perf_counter()
    await run(count)
    return time.perf_counter() - started


async def measure(bare: Operation, guarded: Operation) -> dict[str, float]:
    """Return median nanoseconds of both, measured in turns, and their ratio."""
    bare_run, guarded_run = looping(bare), looping(guarded)
    await seconds(bare_run, 1000)
    count = BETWEEN_TURNS * max(1, int(2 * TARGET_SECONDS / await seconds(guarded_run, 1000)))
    pairs = [
        (await seconds(bare_run, count), await seconds(guarded_run, count)) for _ in range(REPEATS)
    ]
    bare_ns = statistics.median(pair[0] for pair in pairs) / count * 1e9
    guarded_ns = statistics.median(pair[1] for pair in pairs) / count * 1e9
    return {"bare_ns": bare_ns, "guarded_ns": guarded_ns, "ratio": guarded_ns / bare_ns}


async def measure_ours() -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    print(f"{'':28}{'bare':>10}{'guarded':>10}{'ratio':>8}{'limit':>8}")
    for name, (bare, guarded, against, limit) in CASES.items():
        figures = await measure(bare, guarded)
        results[name] = {**figures, "against": against, "limit": limit}
        verdict = "" if figures["ratio"] <= limit else "  missed"
        print(
            f"{name:28}{figures['bare_ns']:>7.0f} ns{figures['guarded_ns']:>7.0f} ns"
            f"{figures['ratio']:>8.2f}{limit:>8.1f}{verdict}   against {against}",
            flush=True,
        )
    return results


async def measure_peers(ours: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each installed peer's ratios to the same bare call as ours."""
    results: dict[str, dict[str, float]] = {}
    operations: dict[str, Operations] = {}
    for name, make in PEERS.items():
        try:
            operations[name] = make(work)
        except ImportError:
            continue
    missing = [name for name in PEERS if name not in operations]
    if missing:
        print(f"\nNot installed: {', '.join(missing)}. To compare: pip install {INSTALL}")
    if not operations:
        return results
    print(f"\n{'':28}" + "".join(f"{name:>12}" for name in ("ours", *operations)))
    for column in ours:
        if not any(column in of_peer for of_peer in operations.values()):
            continue
        cells = f"{column:28}{ours[column]['ratio']:>12.1f}"
        for name, of_peer in operations.items():
            if column not in of_peer:
                cells += f"{'-':>12}"
                continue
            figures = await measure(work, of_peer[column])
            results.setdefault(name, {})[column] = figures["ratio"]
            cells += f"{figures['ratio']:>12.1f}"
        print(cells, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, '-' is stdout")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    shown = StringIO() if options.json == "-" else sys.stdout
    with redirect_stdout(shown):
        print(f"Python {platform.python_version()}")
        results = asyncio.run(measure_ours())
        peers = {} if options.no_peers else asyncio.run(measure_peers(results))
    figures = {"python": platform.python_version(), "cases": results, "peers": peers}
    text = json.dumps(figures, indent=1)
    if options.json == "-":
        print(text)
    elif options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main()
