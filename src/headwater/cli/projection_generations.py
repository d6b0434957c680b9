"""``headwater projection pause``, ``resume`` and ``drop``: what is done to one generation."""

from contextlib import AsyncExitStack
from typing import Annotated, Final

import typer

from headwater.cli.options import AppName, Url, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.projections_found import found_projection
from headwater.cli.running import Place, perform
from headwater.operations import control
from headwater.operations.projections.building import drop as drop_generation

BY: Final = "headwater projection"

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Number = Annotated[
    int | None,
    typer.Argument(
        metavar="[GENERATION]", min=1, help="By default the one that is built.", show_default=False
    ),
]


def pause(
    context: typer.Context,
    *,
    name: Name,
    number: Number = None,
    storage: Url = None,
    app: AppName = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept.")] = "",
) -> None:
    """Let nobody work a generation until it is resumed."""

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            found = await found_projection(opened, place, name)
            one = found.worked(number)
            await control.pause(found.storage, one.subscription, by=BY, reason=reason)
        output.object({"projection": name, "generation": one.number, "paused": True})

    perform(context, work, url=storage, app=app)


def resume(
    context: typer.Context,
    *,
    name: Name,
    number: Number = None,
    storage: Url = None,
    app: AppName = None,
) -> None:
    """Let workers go on with a generation that was paused, or stands still after a switch broke
    off."""

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            found = await found_projection(opened, place, name)
            one = found.worked(number)
            await control.resume(found.storage, one.subscription, by=BY)
        output.object({"projection": name, "generation": one.number, "paused": False})

    perform(context, work, url=storage, app=app)


def drop(
    context: typer.Context,
    *,
    name: Name,
    number: Annotated[int, typer.Argument(metavar="GENERATION", min=1, show_default=False)],
    storage: Url = None,
    app: AppName = None,
    yes: Yes = False,
) -> None:
    """Delete a generation that is not live, with its rows and checkpoints."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            found = await found_projection(opened, place, name)
            one = found.numbered(number)
            question = f"Delete generation {number} of {name}, rows {one.collection!r}?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            collection = found.generations.collection
            await drop_generation(found.storage, collection, number)
        output.object({"projection": name, "dropped": number, "rows_in": one.collection})
        return ExitCode.OK

    perform(context, work, url=storage, app=app)
