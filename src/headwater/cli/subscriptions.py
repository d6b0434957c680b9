"""``headwater subscription``."""

from contextlib import AsyncExitStack
from typing import Any

import typer

from headwater.cli import subscription_control, subscription_types
from headwater.cli.options import AppName, Url, UrlArgument, named
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages

_COLUMNS = ("storage", "subscription", "partitions", "lowest", "furthest", "lag", "rows_in")


def add_to(program: typer.Typer) -> None:
    """Add the commands."""
    subscriptions = typer.Typer(help="Who reads the log, and how far.", no_args_is_help=True)
    subscriptions.command("list")(list_subscriptions)
    subscriptions.command("pause")(subscription_control.pause)
    subscriptions.command("resume")(subscription_control.go_on)
    subscriptions.command("restart")(subscription_control.restart)
    subscriptions.command("repartition")(subscription_control.change_partitions)
    subscriptions.command("drop-types")(subscription_types.drop)
    program.add_typer(subscriptions, name="subscription")


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
