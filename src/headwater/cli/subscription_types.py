"""``headwater subscription drop-types``."""

from contextlib import AsyncExitStack
from typing import Annotated

import typer

from headwater.cli.options import AppName, Url, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.cli.storages import opened_storages
from headwater.errors import ConfigurationError
from headwater.operations.control import controlled_subscriptions
from headwater.operations.type_lists import drop_types
from headwater.ports.storage import Storage


def drop(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    types: Annotated[list[str], typer.Argument(metavar="TYPE...", show_default=False)],
    storage: Url = None,
    app: AppName = None,
    yes: Yes = False,
) -> None:
    """Let a subscription pass over types that newer code wanted and no code will want again.

    For a release that was rolled back for good, or one that stopped taking them: workers that
    don't know them wait until then. One that does know them, and runs, puts them back.
    """

    async def work(output: Output, place: Place) -> ExitCode:
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(place.opened())
            target = await _target(opened, place, log, name)
            question = f"Let {name} pass over all events of {', '.join(types)}?"
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            left = await drop_types(target, name, types)
        output.object(
            {"subscription": name, "dropped": ", ".join(types), "left": ", ".join(left.types)}
        )
        return ExitCode.OK

    perform(context, work, url=storage, app=app)


async def _target(opened: AsyncExitStack, place: Place, log: Storage, name: str) -> Storage:
    """Return the storage that has the types of *name*.

    Raises:
        ConfigurationError: none of them has.
    """
    known: set[str] = set()
    for _, storage, _ in await opened_storages(opened, place, log):
        bound = await controlled_subscriptions(storage)
        if name in bound:
            return storage
        known |= bound
    raise ConfigurationError(
        f"No subscription {name!r} is bound to any types here; there are: "
        f"{', '.join(sorted(known)) or '(none)'}."
    )
