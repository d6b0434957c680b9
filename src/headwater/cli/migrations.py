"""``headwater db init``, ``status``, ``upgrade`` and ``sql``."""

import sys
from typing import Annotated

import msgspec
import typer

from headwater.app import schemas
from headwater.cli.options import Url, UrlArgument, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command()(init)
    commands.command()(status)
    commands.command()(upgrade)
    commands.command("sql")(print_sql)


def init(context: typer.Context, *, url: UrlArgument = None, storage: Url = None) -> None:
    """Make the tables. Where they are already, nothing is done."""
    _upgrade(context, named(context, url, storage))


def upgrade(context: typer.Context, *, url: UrlArgument = None, storage: Url = None) -> None:
    """Bring the tables up to date; run it before the new code starts."""
    _upgrade(context, named(context, url, storage))


def _upgrade(context: typer.Context, url: str | None) -> None:
    async def work(output: Output, place: Place) -> None:
        before = await schemas.status(place.named_url)
        after = await schemas.upgrade(place.named_url)
        output.object({"where": after.where, "before": before.stored, "now": after.stored})

    perform(context, work, url=url)


def status(context: typer.Context, *, url: UrlArgument = None, storage: Url = None) -> None:
    """Show the version of the tables, and what is to be done. Exit code 1: something is."""

    async def work(output: Output, place: Place) -> ExitCode:
        found = await schemas.status(place.named_url)
        output.object(msgspec.structs.asdict(found))
        return ExitCode.OK if found.writable and not found.pending else ExitCode.FOUND

    perform(context, work, url=named(context, url, storage))


def print_sql(
    context: typer.Context,
    *,
    from_version: Annotated[
        int, typer.Option("--from", min=0, help="The version that is there; 0: none.")
    ] = 0,
    schema: Annotated[str, typer.Option(help="The schema that holds the tables.")] = "headwater",
) -> None:
    """Print what upgrade would run on PostgreSQL, for those who run it themselves."""

    async def work(output: Output, place: Place) -> None:
        text = schemas.sql(from_version=from_version, schema=schema)
        if output.as_json:
            output.object({"sql": text})
        else:
            sys.stdout.write(text)

    perform(context, work, url="postgresql:")
