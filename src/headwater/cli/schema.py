"""``headwater schema snapshot`` and ``diff``."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headwater.cli.options import AppName
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.errors import ConfigurationError
from headwater.serialization.contract import (
    Snapshot,
    read_snapshot,
    schema_diff,
    schema_notes,
    schema_snapshot,
    snapshot_text,
)

_DEFAULT = Path("headwater-schema.json")


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command()(snapshot)
    commands.command()(diff)


def snapshot(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="[FILE]")] = _DEFAULT,
    app: AppName = None,
) -> None:
    """Write the contract of all stored and published messages to a file that is reviewed."""

    async def work(output: Output, place: Place) -> None:
        contract = _contract(place)
        await asyncio.to_thread(file.write_text, snapshot_text(contract), encoding="utf-8")
        output.object({"file": str(file), "messages": len(contract["messages"])})

    perform(context, work, url=None, app=app)


def diff(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="[FILE]")] = _DEFAULT,
    app: AppName = None,
) -> None:
    """Compare the code with the file. Exit code 1: what is stored or published would break."""

    async def work(output: Output, place: Place) -> ExitCode:
        written = await asyncio.to_thread(file.read_text, encoding="utf-8")
        contract, reviewed = _contract(place), read_snapshot(written)
        findings = schema_diff(reviewed, contract)
        for finding in findings:
            row = {**finding._asdict(), "direction": finding.direction.value}
            output.line(row, str(finding))
        for note in schema_notes(reviewed, contract):
            output.say(note)
        if findings:
            return ExitCode.FOUND
        if snapshot_text(contract) != written:
            output.say(f"Nothing breaks, but the contract is another: write {file} anew.")
        else:
            output.say(f"Nothing has changed: {len(contract['messages'])} messages as in {file}.")
        return ExitCode.OK

    perform(context, work, url=None, app=app)


def _contract(place: Place) -> Snapshot:
    if place.app is None:
        raise ConfigurationError("Name the app whose contract it is: --app shop.main:app.")
    return schema_snapshot(place.app.codec)
