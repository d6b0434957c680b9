"""What the mediator costs, next to the same work written by hand, in one run.

    python -m benchmarks.mediator                   # ours, and every peer that is installed
    python -m benchmarks.mediator --no-peers
    python -m benchmarks.mediator --json out.json   # or --json - for stdout
    pip install mediatorx mediatr py-mediatr mediary diator blinker     # the peers

Every figure is a ratio: our median time per operation by the median of the hand-written one,
measured in turns in the same process, so that the machine's mood falls on both. Messages are
built once, outside of the loop; handlers do nothing. The limits are our own; "with context"
misses its limit, because setting and resetting a context variable alone costs two bare awaits.
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

from dishka import Provider, make_async_container
from dishka import Scope as DishkaScope

from benchmarks._mediator_peers import INSTALL, PEERS, Operations
from headwater.adapters.container.dishka import DishkaContainer
from headwater.mediator import Handlers, Mediator, Next, Strategy
from headwater.messages import Command, Event

REPEATS = 15
TARGET_SECONDS = 0.05
Op = Callable[[Any], Awaitable[object]]


class Ping(Command[int]):
    n: int


class Pinged(Event):
    n: int


class Session:
    """What each request gets anew."""


async def on_ping(message: Ping) -> int:
    return message.n


async def on_ping_with_session(message: Ping, session: Session) -> int:
    return message.n


def listener() -> Callable[..., Any]:
    async def on_pinged(message: Pinged) -> None:
        return None

    return on_pinged


async def pass_on(message: Ping, next: Next[Ping, int]) -> int:
    return await next(message)


async def pass_on_too(message: Ping, next: Next[Ping, int]) -> int:
    return await next(message)


# --------------------------------------------------------------------------- the two sides


def case_send() -> tuple[Op, Op]:
    table = Handlers()
    table.handler(on_ping)
    return on_ping, Mediator(table).send


def case_send_with_context() -> tuple[Op, Op]:
    table = Handlers()
    table.handler(on_ping)
    return on_ping, Mediator(table, propagate_context=True).send


def case_two_behaviours() -> tuple[Op, Op]:
    async def inner(message: Ping) -> int:
        return await on_ping(message)

    async def outer(message: Ping) -> int:
        return await inner(message)

    table = Handlers()
    table.handler(on_ping)
    table.behaviour(pass_on)
    table.behaviour(pass_on_too)
    return outer, Mediator(table).send


def case_request_scope() -> tuple[Op, Op]:
    provider = Provider(scope=DishkaScope.REQUEST)
    provider.provide(Session)
    container = make_async_container(provider)

    async def by_hand(message: Ping) -> int:
        async with container() as scope:
            return await on_ping_with_session(message, await scope.get(Session))

    table = Handlers()
    table.handler(on_ping_with_session)
    return by_hand, Mediator(table, container=DishkaContainer.of(container)).send


def publishing(count: int, strategy: Strategy) -> tuple[list[Op], Mediator]:
    handlers = [listener() for _ in range(count)]
    table = Handlers()
    for handler in handlers:
        table.on(handler)
    return list(handlers), Mediator(table, strategy=strategy)


def case_publish_to_one() -> tuple[Op, Op]:
    (handler,), mediator = publishing(1, Strategy.PARALLEL)
    return handler, mediator.publish


def case_publish_in_turn() -> tuple[Op, Op]:
    handlers, mediator = publishing(3, Strategy.SEQUENTIAL)

    async def by_hand(message: Pinged) -> None:
        for handler in handlers:
            await handler(message)

    return by_hand, mediator.publish


def case_publish_in_parallel() -> tuple[Op, Op]:
    handlers, mediator = publishing(3, Strategy.PARALLEL)

    async def by_hand(message: Pinged) -> None:
        await asyncio.gather(*[handler(message) for handler in handlers])

    return by_hand, mediator.publish


CASES: dict[str, tuple[Callable[[], tuple[Op, Op]], object, str, float]] = {
    "send": (case_send, Ping(n=1), "await handler(m)", 1.8),
    "send, with context": (case_send_with_context, Ping(n=1), "await handler(m)", 4.0),
    "send, two behaviours": (case_two_behaviours, Ping(n=1), "nested by hand", 1.6),
    "send, request scope": (case_request_scope, Ping(n=1), "dishka by hand", 1.3),
    "publish to one": (case_publish_to_one, Pinged(n=1), "await handler(m)", 2.4),
    "publish to three, in turn": (case_publish_in_turn, Pinged(n=1), "a bare loop", 1.5),
    "publish to three, parallel": (case_publish_in_parallel, Pinged(n=1), "asyncio.gather", 1.1),
}

# --------------------------------------------------------------------------- measuring


def looping(op: Op, message: object) -> Callable[[int], Awaitable[None]]:
    async def run(count: int) -> None:
        for _ in range(count):
            await op(message)

    return run


async def seconds(run: Callable[[int], Awaitable[None]], count: int) -> float:
    started = time.perf_counter()
    await run(count)
    return time.perf_counter() - started


async def measure(
    by_hand: Op, ours: Op, message: object, our_message: object | None = None
) -> dict[str, float]:
    """Return median nanoseconds of both, measured in turns, and their ratio."""
    hand_run, our_run = looping(by_hand, message), looping(ours, our_message or message)
    await seconds(our_run, 1000)
    count = max(1, int(1000 * TARGET_SECONDS / await seconds(hand_run, 1000)))
    pairs = [
        (await seconds(hand_run, count), await seconds(our_run, count)) for _ in range(REPEATS)
    ]
    hand = statistics.median(pair[0] for pair in pairs) / count * 1e9
    our = statistics.median(pair[1] for pair in pairs) / count * 1e9
    return {"by_hand_ns": hand, "ours_ns": our, "ratio": our / hand}


async def measure_ours() -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    print(f"{'':28}{'by hand':>10}{'ours':>10}{'ratio':>8}{'limit':>8}")
    for name, (case, message, against, limit) in CASES.items():
        figures = await measure(*case(), message)
        results[name] = {**figures, "against": against, "limit": limit}
        verdict = "" if figures["ratio"] <= limit else "  missed"
        print(
            f"{name:28}{figures['by_hand_ns']:>7.0f} ns{figures['ours_ns']:>7.0f} ns"
            f"{figures['ratio']:>8.2f}{limit:>8.1f}{verdict}   against {against}",
            flush=True,
        )
    return results


async def measure_peers(ours: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each installed peer's ratios, to the same hand-written work as ours."""
    results: dict[str, dict[str, float]] = {}
    operations: dict[str, Operations] = {}
    for name, make in PEERS.items():
        try:
            operations[name] = make()
        except ImportError:
            continue
    missing = [name for name in PEERS if name not in operations]
    if missing:
        print(f"\nNot installed: {', '.join(missing)}. To compare: pip install {INSTALL}")
    if not operations:
        return results
    print(f"\n{'':28}" + "".join(f"{name:>12}" for name in ("ours", *PEERS)))
    for column in ours:
        if not any(column in of_peer for of_peer in operations.values()):
            continue
        case, message, _, _ = CASES[column]
        cells = f"{column:28}{ours[column]['ratio']:>12.1f}"
        for name in PEERS:
            if column not in operations.get(name, {}):
                cells += f"{'-':>12}"
                continue
            operation, peers_message = operations[name][column]
            figures = await measure(case()[0], operation, message, peers_message)
            results.setdefault(name, {})[column] = figures["ratio"]
            cells += f"{figures['ratio']:>12.1f}"
        print(cells, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, '-' is stdout")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    python = f"Python {platform.python_version()}"
    shown = StringIO() if options.json == "-" else sys.stdout
    with redirect_stdout(shown):
        print(python)
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
