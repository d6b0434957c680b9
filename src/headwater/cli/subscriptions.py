"""``headwater subscription`` and ``headwater projection rebuild``."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer

from headwater.cli import subscription_control, subscription_types
from headwater.cli.options import AppName, Url, UrlArgument, Yes, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.errors import ConfigurationError
from headwater.operations.rebuilding import begin_again
from headwater.ports.storage import Storage

_COLUMNS = ("storage", "subscription", "partitions", "lowest", "furthest", "lag", "rows_in")


def add_to(program: typer.Typer) -> None:
    """Add the commands."""
    subscriptions = typer.Typer(help="Who reads the log, and how far.", no_args_is_help=True)
    subscriptions.command("list")(list_subscriptions)
    subscriptions.command("pause")(subscription_control.pause)
    subscriptions.command("resume")(subscription_control.go_on)
    subscriptions.command("repartition")(subscription_control.change_partitions)
    subscriptions.command("drop-types")(subscription_types.drop)
    program.add_typer(subscriptions, name="subscription")
    projections = typer.Typer(help="Rows computed from the log.", no_args_is_help=True)
    # A callback keeps the name of a group's only command.
    projections.callback()(_group)
    projections.command("rebuild")(rebuild)
    program.add_typer(projections, name="projection")


def _group() -> None: ...


def list_subscriptions(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
) -> None:
    """List subscriptions with their checkpoints and how far they are behind the log.

    With --app also those in its other databases, and those that were never run.
    """

    async def work(output: Output, place: Place) -> None:
        rows: list[dict[str, Any]] = []
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            head = await log.head()
            for label, one, consumers in await opened_storages(opened, place, log):
                stored = {each.name: each.checkpoints for each in await one.subscriptions()}
                for name in sorted({*stored, *consumers}):
                    consumer = consumers.get(name)
                    positions = [each.position for each in stored.get(name, ())]
                    rows.append(
                        {
                            "storage": label,
                            "subscription": name,
                            "partitions": len(positions),
                            "lowest": min(positions, default=0),
                            "furthest": max(positions, default=0),
                            "lag": head - min(positions, default=0),
                            "rows_in": consumer.collection if consumer else None,
                            "checkpoints": positions,
                            "head": head,
                        }
                    )
        output.rows(_COLUMNS, rows)

    perform(context, work, url=named(context, url, storage), app=app)


def rebuild(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    storage: Url = None,
    app: AppName = None,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="COLLECTION",
            help="Whose rows are deleted, where the projection is a function or there is no --app.",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete a projection's rows and let it begin again at the start of the log.

    The app may run: its workers notice within seconds and build the rows anew.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            target, known = await _target(opened, place, log, name, explicit=bool(collections))
            clear = collections or known
            if clear:
                question = f"Delete all rows of {', '.join(clear)} and build them again?"
                if not output.confirmed(question, yes=yes):
                    return ExitCode.REFUSED
            done = await begin_again(
                log, target, name, collections=clear, some_dropped=not collections
            )
        output.object(
            {
                "subscription": done.subscription,
                "collections": ", ".join(done.collections),
                "rows_deleted": done.rows,
                "head": done.head,
            }
        )
        return ExitCode.OK

    perform(context, work, url=storage, app=app)


async def _target(
    opened: AsyncExitStack, place: Place, log: Storage, name: str, *, explicit: bool
) -> tuple[Storage, Sequence[str]]:
    """Return the storage with the checkpoints of *name*, and the collections it can rebuild.

    Raises:
        ConfigurationError: an app is named, and it has no such subscription; or its rows are
            another one's as well, and they were not named *explicit*ly.
    """
    if place.app is None:
        return log, ()
    names: list[str] = []
    for _, storage, consumers in await opened_storages(opened, place, log):
        if name in consumers:
            collection = consumers[name].collection
            sharing = [each for each, one in consumers.items() if one.collection == collection]
            if collection is None or explicit:
                return storage, ()
            if len(sharing) > 1:
                raise ConfigurationError(
                    f"The rows of {collection!r} are those of several projections: "
                    f"{', '.join(sorted(sharing))}. With the app stopped, rebuild each of them "
                    f"with --collection {collection}."
                )
            return storage, (collection,)
        names += consumers
    raise ConfigurationError(
        f"The app has no subscription {name!r}; there are: {', '.join(sorted(names)) or '(none)'}."
    )
