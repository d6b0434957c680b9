"""``headwater db recover`` and ``prune``."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Annotated, Any

import msgspec
import typer

from headwater.cli.options import NUMBER_MAX, AppName, Url, UrlArgument, Yes, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.clock import SystemClock
from headwater.errors import ConfigurationError
from headwater.operations.recovering import (
    Recovery,
    Stray,
    examine,
    not_astray,
    recover,
)
from headwater.operations.retention import DEDUPLICATION_WINDOW, PRUNE_BATCH, Retention, prune
from headwater.ports.storage import Storage

_DURATION = re.compile(r"(\d+)(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = ("storage", "subscription", "partitions", "furthest", "problem", "reset")


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("recover")(recover_command)
    commands.command("prune")(prune_command)


def prune_command(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="The deduplication window: 30d, 12h, 90m.")
    ] = f"{DEDUPLICATION_WINDOW.days}d",
    batch: Annotated[
        int, typer.Option(min=1, max=100_000, help="At most so many of a kind in one commit.")
    ] = PRUNE_BATCH,
    yes: Yes = False,
) -> None:
    """Remove receipts, and ids of erased events, that are older; repeats of them count as new."""

    async def work(output: Output, place: Place) -> ExitCode:
        retention = Retention(deduplication_window=duration(older_than), batch=batch)
        async with place.opened() as opened:
            question = f"Forget receipts and ids of erased events older than {older_than}?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            gone = await prune(opened, retention, clock=SystemClock())
        output.object({"receipts": gone.receipts, "erased_ids": gone.erased_ids})
        return ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def duration(text: str) -> timedelta:
    """Return the duration that *text* says: a number and s, m, h, d or w.

    Raises:
        ConfigurationError: it says none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no duration; write it as 30d, 12h, 90m or 45s.")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise ConfigurationError(f"{text!r} is longer than anybody can wait.") from error


class _Examined(msgspec.Struct):
    """A storage, and what in it is ahead of the log."""

    label: str
    storage: Storage
    recovery: Recovery


def recover_command(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    databases: Annotated[
        list[str] | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="Another storage with checkpoints on this log; an app's own are known.",
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Bring it back to the log.")] = False,
    subscribers_from: Annotated[
        int | None,
        typer.Option(
            "--subscriber-from",
            min=0,
            max=NUMBER_MAX,
            metavar="POSITION",
            help="Subscribers go on after this position, not after the head.",
        ),
    ] = None,
    rebuild: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One of those ahead that begins again from position 0."),
    ] = None,
    yes: Yes = False,
) -> None:
    """After a restored backup or a failover: show what is ahead of the log; --reset mends it.

    Stop the app before. Exit code 1: something is ahead.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            examined = [
                _Examined(label, one, await examine(log, one, consumers=consumers))
                for label, one, consumers in await opened_storages(
                    opened, place, log, databases or ()
                )
            ]
            _show(output, examined, subscribers_from, rebuild or ())
            needed = [one for one in examined if one.recovery.needed]
            if not needed:
                return ExitCode.OK
            if not reset:
                return ExitCode.FOUND
            if not output.confirmed("Reset these, as shown?", yes=yes):
                return ExitCode.REFUSED
            for one in needed:
                strays = {stray.subscription for stray in one.recovery.strays}
                done = await recover(
                    log,
                    one.storage,
                    one.recovery,
                    subscribers_from=subscribers_from,
                    rebuild=[name for name in rebuild or () if name in strays],
                )
                output.object({"storage": one.label, **msgspec.structs.asdict(done)})
        return ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def _show(
    output: Output,
    examined: Sequence[_Examined],
    subscribers_from: int | None,
    rebuild: Sequence[str],
) -> None:
    _check_names(examined, rebuild)
    rows = [
        {
            "storage": one.label,
            "subscription": stray.subscription,
            "partitions": stray.partitions,
            "furthest": stray.furthest,
            "problem": _problem(stray),
            "reset": _reset(stray, one.recovery, subscribers_from, rebuild),
        }
        for one in examined
        for stray in one.recovery.strays
    ]
    summary: dict[str, Any] = {
        "head": examined[0].recovery.head,
        "common": max(one.recovery.common for one in examined),
        "receipts_past_the_head": sum(one.recovery.receipts for one in examined),
        "subscriptions_ahead": len(rows),
    }
    if output.as_json:
        output.object({**summary, "subscriptions": rows})
        return
    output.object(summary)
    if rows:
        output.rows(_COLUMNS, rows)


def _check_names(examined: Sequence[_Examined], rebuild: Sequence[str]) -> None:
    strays = {stray.subscription for one in examined for stray in one.recovery.strays}
    if strangers := set(rebuild) - strays:
        raise not_astray(strangers)


def _problem(stray: Stray) -> str:
    if stray.shared:
        return f"fills {stray.collection} with one that is ahead"
    problem = "past the head" if stray.ahead else "another event stands there"
    return problem if stray.known else f"{problem}; no subscription of the app is called so"


def _reset(
    stray: Stray, recovery: Recovery, subscribers_from: int | None, rebuild: Sequence[str]
) -> str:
    if stray.collection is not None:
        return f"rebuild {stray.collection}"
    if stray.subscription in rebuild:
        return "begin again"
    after = recovery.head if subscribers_from is None else subscribers_from
    return f"go on after {after}"
