"""``headwater stream export``, ``import`` and ``verify``."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer

from headwater.cli.options import AppName, ExportPath, Url, UrlArgument, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.clock import SystemClock
from headwater.operations.exporting import export_log
from headwater.operations.findings import FINDINGS_MAX
from headwater.operations.importing import check_finished, import_log
from headwater.operations.verifying import Verified, verify_log


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("export")(export)
    commands.command("import")(import_)
    commands.command("verify")(verify)


def export(
    context: typer.Context, *, file: ExportPath, storage: Url = None, app: AppName = None
) -> None:
    """Write the whole log to a file of JSON Lines; run again, it goes on where it was cut off.

    Exit code 1: the file was complete already, and the log has grown since.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as opened:
            with output.progress("exporting") as progress:
                begun = time.monotonic()
                done = await export_log(opened, file, at=SystemClock().now(), progress=progress)
        output.object({"file": str(file), **msgspec.structs.asdict(done), **_seconds(begun)})
        if not done.complete_before:
            return ExitCode.OK
        output.say(f"{file} was complete already, up to position {done.head}: nothing was written.")
        if done.log_head == done.head:
            return ExitCode.OK
        output.say(f"The log has come to {done.log_head} since; export it to another file.")
        return ExitCode.FOUND

    perform(context, work, url=storage, app=app)


def import_(
    context: typer.Context, *, file: ExportPath, storage: Url = None, app: AppName = None
) -> None:
    """Write an exported log into an empty storage; run again, it goes on where it was cut off."""

    async def work(output: Output, place: Place) -> None:
        # First, so that nothing is made for a file that can't be imported.
        await asyncio.to_thread(check_finished, file)
        async with place.opened(new=True) as opened:
            with output.progress("importing") as progress:
                begun = time.monotonic()
                done = await import_log(opened, file, progress=progress)
        output.object({"file": str(file), **msgspec.structs.asdict(done), **_seconds(begun)})

    perform(context, work, url=storage, app=app)


def verify(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="List each event of a type that is unknown, not only the first."
        ),
    ] = False,
) -> None:
    """Look at every event, stream and tag. Exit code 1: something is wrong."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened_to_read() as opened:
            with output.progress("verifying") as progress:
                codec = place.app.codec if place.app else None
                verified = await verify_log(opened, codec=codec, progress=progress, every=every)
        _report(output, verified)
        return ExitCode.FOUND if verified.counts else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def _report(output: Output, verified: Verified) -> None:
    findings = [
        {
            "problem": finding.problem.name.lower(),
            "position": finding.position,
            "stream": finding.stream_id,
            "detail": finding.detail,
        }
        for finding in verified.findings
    ]
    summary = {
        "events": verified.events,
        "streams": verified.streams,
        "tags": verified.tags,
        "head": verified.head,
        "payloads_decoded": verified.decoded,
        "problems": sum(verified.counts.values()),
    }
    if output.as_json:
        output.object({**summary, "counts": verified.counts, "findings": findings})
        return
    output.object(summary)
    if findings:
        output.rows(("problem", "position", "stream", "detail"), findings)
    listed, found = len(findings), sum(verified.counts.values())
    if found > listed:
        counted = ", ".join(f"{count} of {kind}" for kind, count in verified.counts.items())
        output.say(
            f"{found - listed} more were counted and are not listed ({counted}): of a type that is "
            f"unknown the first event stands for all, unless there is --all, and no more than "
            f"{FINDINGS_MAX} are kept."
        )


def _seconds(begun: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - begun, 3)}
