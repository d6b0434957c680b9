"""``headwater outbox status``, ``list`` and ``redrive``."""

from typing import Annotated, Any

import msgspec
import typer

from headwater.cli.options import NUMBER_MAX, AppName, Url, UrlArgument, Yes, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.errors import ConfigurationError
from headwater.operations.staged import staged_events_of
from headwater.ports.outbox import RejectedRow, StagedEvents
from headwater.ports.storage import Storage

_COLUMNS = ("seq", "stream", "type", "id", "rejected_at", "reason")


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command()(status)
    commands.command("list")(list_rejected)
    commands.command()(redrive)


def status(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
) -> None:
    """Show how many staged events wait, and how many were rejected. Exit code 1: some were."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as opened:
            found = await _outbox(opened).status()
        output.object(msgspec.structs.asdict(found))
        return ExitCode.FOUND if found.rejected else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def list_rejected(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    after: Annotated[
        int, typer.Option(max=NUMBER_MAX, metavar="SEQ", help="Those that follow this one.")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List staged events that could not become events of the log, and why. Exit code 1: any."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as opened:
            rows = await _outbox(opened).rejected(after=after, limit=limit)
        output.rows(_COLUMNS, [_shown(row) for row in rows])
        return ExitCode.FOUND if rows else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def redrive(
    context: typer.Context,
    *,
    seqs: Annotated[
        list[int] | None,
        typer.Argument(max=NUMBER_MAX, metavar="[SEQ]...", help="As list shows them."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were rejected.")] = False,
    storage: Url = None,
    app: AppName = None,
    yes: Yes = False,
) -> None:
    """Stage rejected events again, once the reason is mended. Exit code 1: there were none."""

    async def work(output: Output, place: Place) -> ExitCode:
        if bool(seqs) == every:
            raise ConfigurationError("Name rejected events by number, or all of them by --all.")
        async with place.opened() as opened:
            outbox = _outbox(opened)
            wanted = list(seqs or ()) or await _all(outbox)
            if wanted and not output.confirmed(f"Stage {len(wanted)} events again?", yes=yes):
                return ExitCode.REFUSED
            done = await outbox.redrive(wanted)
        output.object({"redriven": done})
        return ExitCode.OK if done else ExitCode.FOUND

    perform(context, work, url=storage, app=app)


async def _all(outbox: StagedEvents) -> list[int]:
    seqs: list[int] = []
    while rows := await outbox.rejected(after=seqs[-1] if seqs else 0):
        seqs += [row.seq for row in rows]
    return seqs


def _outbox(storage: Storage) -> StagedEvents:
    outbox = staged_events_of(storage)
    if outbox is None:
        raise ConfigurationError("Only a storage on PostgreSQL has an outbox.")
    return outbox


def _shown(row: RejectedRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "stream": row.stream_id,
        "type": row.type,
        "id": str(row.id),
        "staged_at": row.staged_at.isoformat(),
        "rejected_at": row.rejected_at.isoformat(),
        "reason": row.reason,
        "data": row.data,
    }
