"""``headwater projection``: rows computed from the log, built anew beside the live ones."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import typer

from headwater.app.projections import Projections
from headwater.cli.options import AppName, Url, UrlArgument, Yes, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.projection_generations import BY, Name, drop, pause, resume
from headwater.cli.projections_found import all_statuses, found_projection
from headwater.cli.projections_in_place import rebuild_in_place
from headwater.cli.projections_shown import (
    GENERATION_COLUMNS,
    shown_difference,
    shown_generation,
    tell_differences,
)
from headwater.cli.running import Place, perform
from headwater.errors import ConfigurationError
from headwater.operations.projections.comparing import RowDifferences
from headwater.operations.projections.meeting import Meeting
from headwater.operations.projections.procedures import switch as switch_stored


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("list")(list_projections)
    commands.command()(status)
    commands.command()(rebuild)
    commands.command()(wait)
    commands.command()(switch)
    commands.command()(verify)
    commands.command()(pause)
    commands.command()(resume)
    commands.command()(drop)


def list_projections(
    context: typer.Context, *, url: UrlArgument = None, storage: Url = None, app: AppName = None
) -> None:
    """List all generations of all projections. With --app also those in its other databases."""

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            looks = await all_statuses(opened, place)
        output.rows(GENERATION_COLUMNS, [shown_generation(one) for one in looks])

    perform(context, work, url=named(context, url, storage), app=app)


def status(context: typer.Context, *, name: Name, storage: Url = None, app: AppName = None) -> None:
    """Show the generations of one projection. Exit code 1: events are held back in one."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            looks = await (await found_projection(opened, place, name)).statuses()
        output.rows(GENERATION_COLUMNS, [shown_generation(one) for one in looks])
        return ExitCode.FOUND if any(one.held for one in looks) else ExitCode.OK

    perform(context, work, url=storage, app=app)


def rebuild(
    context: typer.Context,
    *,
    name: Name,
    storage: Url = None,
    app: AppName = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Delete the rows and begin again: for a projection that is a function, and rows "
            "that several projections compute.",
        ),
    ] = False,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="COLLECTION",
            help="Whose rows are deleted in place, where that is not known.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Build a projection's rows anew beside the live ones, until they have caught up.

    This process works on it, with all workers of the app that run. What was begun goes on where
    it was; Ctrl-C leaves it to the workers.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        if in_place:
            return await rebuild_in_place(
                output, place, name, collections=collections or (), yes=yes
            )
        if collections:
            raise ConfigurationError("Rows of a named collection are only built --in-place.")
        async with _worker(place, name) as projections:
            if all(one.state.value != "building" for one in await projections.status(name)):
                await projections.rebuild(name)
            with output.progress(f"building {name}") as progress:
                built = await projections.wait(name, progress=progress)
        output.object(shown_generation(built))
        output.say(f"Compare, and put it in the place of the live rows: projection switch {name}")
        return ExitCode.OK

    perform(context, work, url=storage, app=app)


def wait(
    context: typer.Context,
    *,
    name: Name,
    storage: Url = None,
    app: AppName = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="How long at most.")
    ] = None,
) -> None:
    """Wait until what is being built has come to the end of the log."""

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            found = await found_projection(opened, place, name)
            with output.progress(f"building {name}") as progress:
                built = await found.until_built(seconds=timeout, progress=progress)
        output.object(shown_generation(built))

    perform(context, work, url=storage, app=app)


def switch(
    context: typer.Context,
    *,
    name: Name,
    storage: Url = None,
    app: AppName = None,
    accept_held: Annotated[
        bool,
        typer.Option("--accept-held", help="Also if events are held back in the new rows."),
    ] = False,
    live_stands: Annotated[
        bool,
        typer.Option(
            "--live-stands",
            help="The live rows have no worker any more: don't wait for them, nor compare.",
        ),
    ] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept.")] = "",
    yes: Yes = False,
) -> None:
    """Compare the rows that were built with the live ones, and put them in their place.

    Both are stopped at one position for it. With --app this process works on both. The old rows
    stay until they are dropped.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        def agreed(meeting: Meeting) -> bool:
            tell_differences(output, meeting.differences)
            held = f", with {meeting.parked} events held back," if meeting.parked else ""
            question = f"Let all readers of {name} read generation {meeting.building.number}{held}?"
            return output.confirmed(question, yes=yes)

        async with AsyncExitStack() as opened:
            if place.app is not None:
                projections = await opened.enter_async_context(_worker(place, name))
                with output.progress(f"comparing {name}") as progress:
                    done = await projections.switch(
                        name,
                        agreed=agreed,
                        by=BY,
                        reason=reason,
                        accept_parked=accept_held,
                        live_stands=live_stands,
                        progress=progress,
                    )
            else:
                found = await found_projection(opened, place, name)
                done = await switch_stored(
                    found.log,
                    found.storage,
                    found.generations.collection,
                    now=found.now,
                    agreed=agreed,
                    by=BY,
                    reason=reason,
                    accept_parked=accept_held,
                    live_stands=live_stands,
                )
        if done.live is None:
            return ExitCode.REFUSED
        output.object(
            {
                "projection": name,
                "live": done.live.number,
                "version": done.live.version,
                "position": done.meeting.position,
                **shown_difference(done.meeting.differences),
            }
        )
        return ExitCode.OK

    perform(context, work, url=storage, app=app)


def verify(context: typer.Context, *, name: Name, storage: Url = None, app: AppName = None) -> None:
    """Build the rows once more, compare them with the live ones, and drop them again.

    Exit code 1: they differ.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with _worker(place, name) as projections:
            with output.progress(f"verifying {name}") as progress:
                found: RowDifferences = await projections.verify(name, by=BY, progress=progress)
        tell_differences(output, found)
        output.object({"projection": name, **shown_difference(found)})
        return ExitCode.OK if found.equal else ExitCode.FOUND

    perform(context, work, url=storage, app=app)


@asynccontextmanager
async def _worker(place: Place, name: str) -> AsyncGenerator[Projections]:
    """Run the projection in this process, on the storage that is named, else on the app's own.

    Raises:
        ConfigurationError: no app is named.
    """
    if place.app is None:
        raise ConfigurationError("Name the app whose code computes the rows: --app shop.main:app.")
    storage = await asyncio.to_thread(place.named_storage)
    async with place.app.app.projection_worker(name, storage=storage) as projections:
        yield projections
