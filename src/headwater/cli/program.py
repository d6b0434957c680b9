"""The program: its commands, and the options that stand before them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from headwater.cli import (
    database,
    dlq,
    migrations,
    outbox,
    personal,
    projections,
    schema,
    status,
    stream_changes,
    stream_files,
    stream_reading,
    subscriptions,
)
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output

program = typer.Typer(
    name="headwater",
    help="Look at and look after what Headwater stores.",
    epilog="Exit codes: 0 ok, 1 found something, 2 usage, 3 refused, 4 timed out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
stream = typer.Typer(help="Streams and the log.", no_args_is_help=True)
stream_reading.add_to(stream)
stream_files.add_to(stream)
stream_changes.add_to(stream)
program.add_typer(stream, name="stream")
db = typer.Typer(help="The storage as a whole.", no_args_is_help=True)
migrations.add_to(db)
database.add_to(db)
program.add_typer(db, name="db")
status.add_to(program)
subscriptions.add_to(program)
projection = typer.Typer(help="Rows computed from the log.", no_args_is_help=True)
projections.add_to(projection)
program.add_typer(projection, name="projection")
staged = typer.Typer(help="Events staged in transactions of users.", no_args_is_help=True)
outbox.add_to(staged)
program.add_typer(staged, name="outbox")
dead_letters = typer.Typer(
    help="What could not be delivered, and how it is mended.", no_args_is_help=True
)
dlq.add_to(dead_letters)
program.add_typer(dead_letters, name="dlq")
people = typer.Typer(help="Personal data and its keys.", no_args_is_help=True)
personal.add_to(people)
program.add_typer(people, name="personal")
contract = typer.Typer(help="The contract of stored messages.", no_args_is_help=True)
schema.add_to(contract)
program.add_typer(contract, name="schema")


@program.callback()
def options(
    context: typer.Context,
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Results as JSON: one object, or one per line."),
    ] = False,
) -> None:
    """Look at and look after what Headwater stores."""
    context.obj = Output(as_json=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run the command that *arguments* name and return its exit code.

    ``--json`` may stand anywhere before a ``--``.
    """
    before, dashes, after = _split(arguments)
    if "--json" in before:
        before = ["--json", *(one for one in before if one != "--json")]
    try:
        program(args=[*before, *dashes, *after], prog_name="headwater")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(ExitCode.FAILED)
    return int(ExitCode.OK)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    if "--" not in arguments:
        return list(arguments), [], []
    place = list(arguments).index("--")
    return list(arguments[:place]), ["--"], list(arguments[place + 1 :])
