"""``headwater personal forget``, ``forgotten`` and ``adopt``."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer

from headwater.cli.options import AppName, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.clock import from_microseconds
from headwater.errors import ConfigurationError
from headwater.ports.key_store import Forgotten
from headwater.serialization.personal import PersonalData

_COLUMNS = ("subject", "at", "by", "why")


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command()(forget)
    commands.command()(forgotten)
    commands.command()(adopt)


def forget(
    context: typer.Context,
    *,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", show_default=False)],
    app: AppName = None,
    why: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
    by: Annotated[str, typer.Option(help="Who forgets, for the ledger.")] = "",
    yes: Yes = False,
) -> None:
    """Destroy the key of a person, for ever. Exit code 1: there was none; is it mistyped?"""

    async def work(output: Output, place: Place) -> ExitCode:
        keys = _keys(place)
        async with place.opened_to_read():
            if not output.confirmed(f"Forget {subject!r} for ever?", yes=yes):
                return ExitCode.REFUSED
            done = await keys.forget(subject, why=why, by=by)
        output.object({**_shown(done.line), "had_key": done.had_key})
        return ExitCode.OK if done.had_key else ExitCode.FOUND

    perform(context, work, url=None, app=app)


def forgotten(context: typer.Context, *, app: AppName = None) -> None:
    """Show the ledger: who was forgotten, when, by whom and why."""

    async def work(output: Output, place: Place) -> None:
        keys = _keys(place)
        async with place.opened_to_read():
            output.rows(_COLUMNS, [_shown(line) for line in await keys.forgotten()])

    perform(context, work, url=None, app=app)


def adopt(context: typer.Context, *, app: AppName = None, yes: Yes = False) -> None:
    """Bind the app's storages to the key store that it names now; only if theirs is lost for good.

    What was written with the lost keys stays unreadable; forget its subjects, to read placeholders.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with _keys(place) as keys:
            question = "Give up the keys that the storages are written with, for those of the app?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            async with AsyncExitStack() as opened:
                log = await opened.enter_async_context(place.opened())
                for label, storage, _ in await opened_storages(opened, place, log):
                    former = await keys.adopt(storage)
                    was = None if former is None else former.where
                    output.line(
                        {"storage": label, "was_bound_to": was},
                        f"{label}: was bound to {was or 'none'}",
                    )
        return ExitCode.OK

    perform(context, work, url=None, app=app)


def _keys(place: Place) -> PersonalData:
    keys = place.app.catalogue.personal_data if place.app is not None else None
    if keys is None:
        raise ConfigurationError("Name an app that has keys, App(personal_data=…): --app crm:app.")
    return keys


def _shown(line: Forgotten) -> dict[str, Any]:
    at = from_microseconds(line.at).isoformat()
    return {"subject": line.subject, "at": at, "by": line.by, "why": line.why}
