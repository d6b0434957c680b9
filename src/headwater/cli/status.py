"""``headwater status``: how all subscriptions fare, whichever processes run them."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

import typer

from headwater.cli.options import AppName, Url, UrlArgument, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.clock import SystemClock
from headwater.monitoring.stalls import STALLED_SECONDS, moved
from headwater.monitoring.stored import stalled_or_not, stored_statuses
from headwater.operations.recovering import Consumer
from headwater.ports.storage import Storage
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

SAMPLE_SECONDS: Final = 1.0
"""How long the command looks at what moves, unless told otherwise."""

_NOBODY: Final = "(nobody)"

_COLUMNS = ("subscription", "state", "lag", "lag_seconds", "held", "workers", "problem")
"""What people see; programs (``--json``) get all of it."""


def add_to(program: typer.Typer) -> None:
    """Add the command."""
    program.command("status")(status)


def status(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    sample: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, max=3600, help="How long to look at what moves."),
    ] = SAMPLE_SECONDS,
    stalled_after: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long an event may wait while nothing moves, before that counts as stalled.",
        ),
    ] = STALLED_SECONDS,
) -> None:
    """Tell how all subscriptions fare, whichever processes run them.

    Exits with 1 if one is stalled, failed, worked by nobody, or has dead letters. With --app also
    those in its other databases, and those that were never run.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            storages = await opened_storages(opened, place, log)
            before = [await _look(log, one, consumers) for _, one, consumers in storages]
            begun = time.monotonic()
            await asyncio.sleep(sample)
            rows: list[dict[str, Any]] = []
            healthy = True
            for (label, one, consumers), earlier in zip(storages, before, strict=True):
                seconds = time.monotonic() - begun
                for name, found in (await _look(log, one, consumers)).items():
                    judged = moved(
                        earlier,
                        stalled_or_not(earlier, found, limit_seconds=stalled_after),
                        seconds=seconds,
                    )
                    healthy = healthy and judged.healthy
                    rows.append({"storage": label, "subscription": name, **_row(judged)})
        if output.as_json:
            output.rows((), rows)
        else:
            several = len({row["storage"] for row in rows}) > 1
            output.rows((*(("storage",) if several else ()), *_COLUMNS), list(map(_shown, rows)))
        return ExitCode.OK if healthy else ExitCode.FOUND

    perform(context, work, url=named(context, url, storage), app=app)


async def _look(
    log: Storage, storage: Storage, consumers: Mapping[str, Consumer]
) -> dict[str, SubscriptionStatus]:
    """Return the status of all that is in *storage*, or would be: *consumers* that never ran."""
    stored = await stored_statuses(log, storage, clock=SystemClock())
    found = {one.name: one for one in stored}
    head = await log.head()
    for name in consumers:
        if name not in found:
            found[name] = SubscriptionStatus(
                name, SubscriptionState.UNATTENDED, 0, head, error="it was never run"
            )
    return dict(sorted(found.items()))


def _row(one: SubscriptionStatus) -> dict[str, Any]:
    lag = one.lag_seconds
    return {
        "state": one.state.value,
        "healthy": one.healthy,
        "position": one.position,
        "head": one.head,
        "lag": one.lag_events,
        "lag_seconds": round(lag, 1) if lag is not None else None,
        "per_second": round(one.events_per_second, 1),
        "delayed": one.held.delayed,
        "waiting": one.held.waiting,
        "dead": one.held.dead,
        "parked_keys": one.held.parked_keys,
        "workers": _workers(one.owners),
        "checkpoints": list(one.checkpoints),
        "owners": list(one.owners),
        "problem": one.error,
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return *row* as a line for people: what matters, and what to do."""
    held = [f"{row[kind]} {kind}" for kind in ("dead", "delayed", "waiting") if row[kind]]
    workers = [name for name in row["workers"] if name != _NOBODY]
    free = row["workers"].get(_NOBODY, 0)
    problem = row["problem"]
    if row["dead"]:
        dead = f"dead letters: headwater dlq list --subscription {row['subscription']}"
        problem = f"{problem}; {dead}" if problem else dead
    return {
        **row,
        "held": ", ".join(held) or None,
        "workers": f"{len(workers)}, {free} partitions free" if free else len(workers),
        "problem": problem,
    }


def _workers(owners: Sequence[str | None]) -> dict[str, int]:
    """Return how many partitions each worker has."""
    return dict(sorted(Counter(owner or _NOBODY for owner in owners).items()))
