"""``headwater subscription pause``, ``resume``, ``restart`` and ``repartition``."""

import getpass
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from headwater.cli.options import AppName, Url, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.errors import ConfigurationError
from headwater.operations.control import DRAIN_SECONDS, Control, repartition, resume
from headwater.operations.control import pause as pause_subscription
from headwater.operations.restarting import restart as restart_subscription
from headwater.operations.restarting import subscription_called
from headwater.ports.leases import PARTITIONS_MAX
from headwater.ports.storage import Storage

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


def pause(
    context: typer.Context,
    *,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; it is shown in the status.")] = "",
    storage: Url = None,
    app: AppName = None,
) -> None:
    """Let nobody work a subscription until it is resumed. Nothing is lost meanwhile.

    Workers notice within a second; what they have in hand is not acknowledged and comes again.
    """

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            target = await _target(opened, place, log, name)
            done = await pause_subscription(target, name, by=getpass.getuser(), reason=reason)
        output.object(_shown(name, done))

    perform(context, work, url=storage, app=app)


def go_on(context: typer.Context, *, name: Name, storage: Url = None, app: AppName = None) -> None:
    """Let workers go on with a subscription that was paused, or stopped at a position."""

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            target = await _target(opened, place, log, name)
            done = await resume(target, name, by=getpass.getuser())
        output.object(_shown(name, done))

    perform(context, work, url=storage, app=app)


def restart(
    context: typer.Context, *, name: Name, storage: Url = None, app: AppName = None
) -> None:
    """Have the workers in which a subscription has failed begin it again, at the failed event.

    They do within about a second. NAME may be a projection's: that of its live rows is meant.
    """

    async def work(output: Output, place: Place) -> None:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            for _, target, _ in await opened_storages(opened, place, log):
                meant = await subscription_called(target, name)
                if meant is not None:
                    break
            else:
                target, meant = await _target(opened, place, log, name), name
            done = await restart_subscription(target, meant)
        output.object(_shown(meant, done))
        if done.paused:
            output.say(f"It is paused, and begins once it is resumed: subscription resume {meant}")

    perform(context, work, url=storage, app=app)


def change_partitions(
    context: typer.Context,
    *,
    name: Name,
    partitions: Annotated[
        int, typer.Argument(min=1, max=PARTITIONS_MAX, metavar="PARTITIONS", show_default=False)
    ],
    timeout: Annotated[
        float, typer.Option(help="Seconds that its workers have to drain it.", min=0.0)
    ] = DRAIN_SECONDS,
    storage: Url = None,
    app: AppName = None,
    yes: Yes = False,
) -> None:
    """Drain a subscription, give it another number of partitions, and let it go on.

    Its workers drain it, so they must run, unless all partitions stand at one position already.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            target = await _target(opened, place, log, name)
            question = f"Drain {name} and give it {partitions} partitions?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            at = await repartition(
                log,
                target,
                name,
                partitions=partitions,
                by=getpass.getuser(),
                seconds=timeout,
            )
        output.object({"subscription": name, "partitions": partitions, "drained_at": at})
        return ExitCode.OK

    perform(context, work, url=storage, app=app)


def _shown(name: str, control: Control) -> dict[str, object]:
    return {"subscription": name, "paused": control.paused, "reason": control.reason}


async def _target(opened: AsyncExitStack, place: Place, log: Storage, name: str) -> Storage:
    """Return the storage that has the checkpoints of *name*.

    Raises:
        ConfigurationError: none of them has.
    """
    known: set[str] = set()
    for _, storage, _ in await opened_storages(opened, place, log):
        names = {one.name for one in await storage.subscriptions()}
        if name in names:
            return storage
        known |= names
    raise ConfigurationError(
        f"No subscription {name!r} was ever run here; there are: "
        f"{', '.join(sorted(known)) or '(none)'}."
    )
