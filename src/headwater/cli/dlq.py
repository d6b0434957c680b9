"""``headwater dlq list``, ``counts``, ``groups``, ``show``, ``history`` and ``dry-run``."""

from typing import Annotated, Any, Final

import msgspec
import typer

from headwater.cli import dlq_mending
from headwater.cli.dlq_selecting import (
    GroupId,
    Id,
    Key,
    SubscriptionName,
    delivery_shown,
    entry_shown,
    selection,
    time_shown,
)
from headwater.cli.options import AppName, Url, UrlArgument, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.errors import ConfigurationError
from headwater.operations.dead_letters.deliveries import DeliveryState
from headwater.operations.dead_letters.looking import HeldDeliveries

_LIST: Final = ("id", "subscription", "key", "position", "state", "attempts", "error", "message")
_GROUPS: Final = ("count", "keys", "error", "place", "message", "group")
_HISTORY: Final = ("at", "by", "action", "subscription", "key", "position", "reason")
_ALL: Final = "all"


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("list")(list_deliveries)
    commands.command()(counts)
    commands.command()(groups)
    commands.command()(show)
    commands.command("dry-run")(dry_run)
    dlq_mending.add_to(commands)
    commands.command()(history)


def list_deliveries(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    subscription: SubscriptionName = None,
    key: Key = None,
    group: GroupId = None,
    state: Annotated[
        str, typer.Option(metavar="STATE", help="dead, delayed, ready, waiting, or all.")
    ] = DeliveryState.DEAD.value,
) -> None:
    """List what could not be delivered, in the order of the log. Exit code 1: there is some."""

    async def work(output: Output, place: Place) -> ExitCode:
        wanted = selection(subscription, key, group, _states(state))
        async with place.opened_to_read() as opened:
            held = HeldDeliveries(opened)
            rows = await held.list(wanted)
            found = await _counts(held, subscription, key, group)
        output.rows(_LIST, [delivery_shown(one) for one in rows])
        output.say(", ".join(f"{count} {name}" for name, count in found.items()))
        return ExitCode.FOUND if rows else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def counts(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    subscription: SubscriptionName = None,
) -> None:
    """Show how many deliveries are in which state. Exit code 1: some are dead."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as opened:
            found = await _counts(HeldDeliveries(opened), subscription, None, None)
        output.object(found)
        return ExitCode.FOUND if found[DeliveryState.DEAD.value] else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def groups(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    subscription: SubscriptionName = None,
) -> None:
    """Show dead letters by error and place, the most frequent first. Exit code 1: there are any."""

    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened_to_read() as opened:
            found = await HeldDeliveries(opened).groups(selection(subscription, None, None))
        shown = [
            {
                **msgspec.structs.asdict(one),
                "first_at": time_shown(one.first_at),
                "last_at": time_shown(one.last_at),
            }
            for one in found
        ]
        output.rows(_GROUPS, shown)
        return ExitCode.FOUND if found else ExitCode.OK

    perform(context, work, url=named(context, url, storage), app=app)


def show(
    context: typer.Context,
    *,
    id: Id,
    storage: Url = None,
    app: AppName = None,
) -> None:
    """Show a delivery with its event, its attempts and the traceback, which has no values."""

    async def work(output: Output, place: Place) -> None:
        async with place.opened_to_read() as opened:
            found = await HeldDeliveries(opened).show(id)
        one, event, override = found.delivery, found.event, found.override
        shown: dict[str, Any] = delivery_shown(one) | {
            "stream": one.stream,
            "code": one.code,
            "waiting_behind": found.waiting,
            "asked_for": found.request.action.value if found.request is not None else None,
            "event": event.data if event is not None else "(erased)",
            "correction": override.data if override is not None else None,
            "corrected_by": f"{override.author}: {override.reason}" if override else None,
        }
        attempts = [
            {
                "at": time_shown(attempt.at),
                "error": attempt.error,
                "message": attempt.message,
                "counted": attempt.counted,
            }
            for attempt in one.attempts
        ]
        if output.as_json:
            output.object({**shown, "attempts": attempts, "traceback": one.traceback})
            return
        output.object({name: part for name, part in shown.items() if part is not None})
        if attempts:
            output.rows(("at", "error", "message", "counted"), attempts)
        output.line({}, one.traceback)

    perform(context, work, url=storage, app=app)


def dry_run(
    context: typer.Context,
    *,
    id: Id,
    app: AppName = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="A payload to try in the place of the stored one."),
    ] = None,
    stand_ins: Annotated[
        bool,
        typer.Option(
            "--stand-ins",
            help="The app that is named has stand-ins for all that its handlers call outside.",
        ),
    ] = False,
) -> None:
    """Run the real handler on a held event, and show what it would write. Nothing is committed.

    A subscriber may reach outside, and is refused unless it is declared with external=False, or
    --app names an app, or a function that makes one, with stand-ins. Exit code 1: it fails.
    """
    if app is None:
        problem = "Name the app that has the handler: --app shop.main:app."
        raise typer.BadParameter(problem, param_hint="--app")

    async def work(output: Output, place: Place) -> ExitCode:
        if place.app is None:
            raise ConfigurationError("The app that has the handler is not known.")
        async with place.opened_to_read():
            for database in place.app.databases.values():
                await database.open()
            try:
                run = await place.app.app.dead_letters.dry_run(id, data=data, stand_ins=stand_ins)
            finally:
                for database in place.app.databases.values():
                    await database.close()
        output.object(msgspec.to_builtins(run))
        return ExitCode.FOUND if run.failure is not None else ExitCode.OK

    perform(context, work, url=None, app=app)


def history(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    subscription: SubscriptionName = None,
    delivery: Annotated[str | None, typer.Option(metavar="ID", help="Of one delivery.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
) -> None:
    """Show what was done with deliveries, by whom and why; the last first."""

    async def work(output: Output, place: Place) -> None:
        async with place.opened() as opened:
            found = await HeldDeliveries(opened).history(
                subscription=subscription, delivery=delivery, limit=limit
            )
        output.rows(_HISTORY, [entry_shown(one) for one in found])

    perform(context, work, url=named(context, url, storage), app=app)


async def _counts(
    held: HeldDeliveries, subscription: str | None, key: str | None, group: str | None
) -> dict[str, int]:
    return {
        one.value: await held.count(selection(subscription, key, group, [one]))
        for one in DeliveryState
    }


def _states(text: str) -> tuple[DeliveryState, ...]:
    if text == _ALL:
        return ()
    try:
        return (DeliveryState(text),)
    except ValueError:
        known = ", ".join(state.value for state in DeliveryState)
        raise ConfigurationError(f"There is no state {text!r}; there are: {known}, all.") from None
