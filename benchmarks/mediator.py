"""What the mediator costs, next to the same work written by hand, in one run.

    python benchmarks/mediator.py                   # ours, and every peer that is installed
    python benchmarks/mediator.py --no-peers
    python benchmarks/mediator.py --json out.json   # or --json - for stdout
    pip install mediatorx mediatr py-mediatr mediary python-cqrs diator lato bubus blinker \\
        pyventus python-cq                          # the peers

Every figure is a ratio: our median time per operation by the median of the hand-written one,
measured in turns in the same process, so that the machine's mood falls on both. Messages are
built once, outside of the loop; handlers do nothing. The last column is what the issue allows.
"""

import argparse
import asyncio
import importlib.util
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

from headwater.adapters.container.dishka import DishkaContainer
from headwater.mediator import Handlers, Mediator, Next, Strategy
from headwater.messages import Command, Event

REPEATS = 15
TARGET_SECONDS = 0.05
PEERS = Path(__file__).parents[2] / "shared" / "peers" / "mediator_bench.py"

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


async def measure(by_hand: Op, ours: Op, message: object) -> dict[str, float]:
    """Return median nanoseconds of both, measured in turns, and their ratio."""
    hand_run, our_run = looping(by_hand, message), looping(ours, message)
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


def measure_peers() -> dict[str, Any]:
    """Run the peers' own harness, which skips those that are not installed."""
    spec = importlib.util.spec_from_file_location("mediator_peers", PEERS)
    if spec is None or spec.loader is None or not PEERS.exists():
        print(f"\nNo peers: {PEERS} is not there.")
        return {}
    harness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(harness)
    print("\nPeers, ns per operation and the ratio to a bare `await handler(m)`:")
    asyncio.run(harness.main(argparse.Namespace(semantics=False, only=None, json=None)))
    return {}


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
        if not options.no_peers:
            measure_peers()
    text = json.dumps({"python": platform.python_version(), "cases": results}, indent=1)
    if options.json == "-":
        print(text)
    elif options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main()
