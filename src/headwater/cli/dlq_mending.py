"""``headwater dlq edit``, ``replay`` and ``discard``."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from headwater.cli.dlq_selecting import (
    By,
    Every,
    GroupId,
    Id,
    Ids,
    Key,
    Rehearsed,
    SubscriptionName,
    Wait,
    delivery_shown,
    named_deliveries,
    selection,
    who,
)
from headwater.cli.options import AppName, Url, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.operations.dead_letters.correcting import correction_of
from headwater.operations.dead_letters.dead_letters import Asked, DeadLetters
from headwater.operations.dead_letters.deliveries import DeliveryState, HeldDelivery
from headwater.operations.dead_letters.selecting import Selection

_COLUMNS = ("id", "subscription", "key", "position", "error", "message")
_STDIN = "-"
_LOOK_SECONDS = 0.2


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command()(edit)
    commands.command()(replay)
    commands.command()(discard)


def edit(
    context: typer.Context,
    *,
    id: Id,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit.")],
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="The payload, in the form that is stored.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where the payload stands; - for stdin.")
    ] = None,
    storage: Url = None,
    app: AppName = None,
    by: By = None,
    rehearsed: Rehearsed = False,
) -> None:
    """Correct the payload of a held event, for its subscription; the log stays as it is.

    With --app it is checked that the event can be read from it. It is not replayed by that.
    """

    async def work(output: Output, place: Place) -> None:
        if (data is None) == (file is None):
            raise typer.BadParameter("Give the payload by --data, or by --file.")
        text = data if data is not None else await asyncio.to_thread(_read, file or _STDIN)
        codec = place.app.codec if place.app is not None else None
        async with place.opened_to_read() as opened:
            letters = DeadLetters(opened, codec=codec)
            shown = await letters.show(id)
            before = shown.event.data if shown.event is not None else None
            if rehearsed and shown.event is not None:
                after = correction_of(shown.event, text, codec).data
                output.object({"delivery": id, "stored": before, "would_be_read": after})
                return
            override = await letters.edit(id, text, author=who(by), reason=reason)
        output.object({"delivery": id, "stored": before, "is_read": override.data})
        if codec is None:
            output.say("Nothing has checked that the event can be read from it: name the --app.")

    perform(context, work, url=storage, app=app)


def replay(
    context: typer.Context,
    *,
    ids: Ids = None,
    subscription: SubscriptionName = None,
    key: Key = None,
    group: GroupId = None,
    every: Every = False,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="At most so many a second.")
    ] = None,
    stop_on_failure: Annotated[
        bool, typer.Option("--stop-on-failure", help="Drop the rest when one fails.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit.")] = "",
    storage: Url = None,
    app: AppName = None,
    by: By = None,
    rehearsed: Rehearsed = False,
    wait: Wait = 0.0,
    yes: Yes = False,
) -> None:
    """Have dead letters handed over again, each followed in order by what waits behind it.

    The worker that has their partition does it, within seconds. Exit code 1: there were none.
    """

    async def ask(letters: DeadLetters, deliveries: Sequence[HeldDelivery]) -> Asked:
        return await letters.replay(
            deliveries,
            by=who(by),
            reason=reason,
            per_second=rate,
            stop_on_failure=stop_on_failure,
        )

    work = _asking(
        ids or (),
        lambda: selection(subscription, key, group),
        ask,
        wait=wait,
        verb="Replay",
        every=every,
        rehearsed=rehearsed,
        yes=yes,
    )
    perform(context, work, url=storage, app=app)


def discard(
    context: typer.Context,
    *,
    ids: Ids = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit.")],
    subscription: SubscriptionName = None,
    key: Key = None,
    group: GroupId = None,
    every: Every = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also what waits behind them.")
    ] = False,
    storage: Url = None,
    app: AppName = None,
    by: By = None,
    rehearsed: Rehearsed = False,
    wait: Wait = 0.0,
    yes: Yes = False,
) -> None:
    """Give up dead letters: their events are never handled; what waits behind them goes on.

    The worker that has their partition does it, within seconds. Exit code 1: there were none.
    """

    async def ask(letters: DeadLetters, deliveries: Sequence[HeldDelivery]) -> Asked:
        return await letters.discard(deliveries, by=who(by), reason=reason)

    states = [DeliveryState.DEAD, *([DeliveryState.WAITING] if waiting else [])]
    work = _asking(
        ids or (),
        lambda: selection(subscription, key, group, states),
        ask,
        wait=wait,
        verb="Discard",
        every=every,
        rehearsed=rehearsed,
        yes=yes,
    )
    perform(context, work, url=storage, app=app)


def _asking(
    ids: Sequence[str],
    wanted: Callable[[], Selection],
    ask: Callable[[DeadLetters, Sequence[HeldDelivery]], Awaitable[Asked]],
    *,
    wait: float,
    verb: str,
    every: bool,
    rehearsed: bool,
    yes: bool,
) -> Callable[[Output, Place], Awaitable[ExitCode]]:
    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as opened:
            letters = DeadLetters(opened)
            deliveries = await named_deliveries(letters, ids, wanted(), every=every)
            if rehearsed:
                output.rows(_COLUMNS, [delivery_shown(one) for one in deliveries])
                return ExitCode.OK if deliveries else ExitCode.FOUND
            if len(deliveries) > 1 and not output.confirmed(
                f"{verb} {len(deliveries)} deliveries?", yes=yes
            ):
                return ExitCode.REFUSED
            asked = await ask(letters, deliveries)
            left = await _left(letters, asked, seconds=wait)
        output.object({"asked_for": asked.deliveries, "left": left, "together": asked.together})
        if left and wait:
            output.say(f"{left} are not done after {wait:g} s: is a worker running?")
            return ExitCode.TIMED_OUT
        if left:
            output.say("The workers that have them do it within seconds; --wait waits for that.")
        return ExitCode.OK if deliveries else ExitCode.FOUND

    return work


async def _left(letters: DeadLetters, asked: Asked, *, seconds: float) -> int:
    """Return how many are still to be done, after *seconds* at most."""
    until = time.monotonic() + seconds
    while True:
        left = await letters.asked_for(asked.together)
        if not left or time.monotonic() >= until:
            return left
        await asyncio.sleep(_LOOK_SECONDS)


def _read(file: str) -> str:
    return sys.stdin.read() if file == _STDIN else Path(file).read_text(encoding="utf-8")
