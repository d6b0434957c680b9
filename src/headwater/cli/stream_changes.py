"""``headwater stream archive``, ``restore``, ``truncate`` and ``tombstone``."""

from typing import Annotated, TypeAlias

import typer

from headwater.cli.options import StreamId, Url, Yes
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.clock import SystemClock
from headwater.operations.stream_changes import change_stream, records_of
from headwater.ports.changes import StreamAction, StreamChange

Reason: TypeAlias = Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)]
Actor: TypeAlias = Annotated[
    str, typer.Option(help="Who does it; it is recorded.", show_default=False)
]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Also a stream that never had an event.")
]


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    for command in (archive, restore, truncate, tombstone):
        commands.command()(command)


def archive(
    context: typer.Context,
    *,
    stream: StreamId,
    reason: Reason,
    actor: Actor,
    storage: Url = None,
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Close a stream: no more events, and readers of the log pass over it."""
    change = StreamChange(stream, StreamAction.ARCHIVE)
    _change(
        context,
        url=storage,
        change=change,
        question=f"Archive stream {stream!r}?",
        reason=reason,
        actor=actor,
        yes=yes,
        force=force,
    )


def restore(
    context: typer.Context,
    *,
    stream: StreamId,
    reason: Reason,
    actor: Actor,
    storage: Url = None,
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Open an archived stream again."""
    change = StreamChange(stream, StreamAction.RESTORE)
    _change(
        context,
        url=storage,
        change=change,
        question=f"Restore stream {stream!r}?",
        reason=reason,
        actor=actor,
        yes=yes,
        force=force,
    )


def truncate(
    context: typer.Context,
    *,
    stream: StreamId,
    before: Annotated[
        int, typer.Option(min=2, metavar="VERSION", help="The first version that stays.")
    ],
    reason: Reason,
    actor: Actor,
    storage: Url = None,
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Erase a stream's events below a version, for ever."""
    change = StreamChange(stream, StreamAction.TRUNCATE, before)
    question = f"Erase the events of stream {stream!r} below version {before} for ever?"
    _change(
        context,
        url=storage,
        change=change,
        question=question,
        reason=reason,
        actor=actor,
        yes=yes,
        force=force,
    )


def tombstone(
    context: typer.Context,
    *,
    stream: StreamId,
    reason: Reason,
    actor: Actor,
    storage: Url = None,
    yes: Yes = False,
    force: Force = False,
) -> None:
    """Erase all events of a stream and close it, for ever."""
    change = StreamChange(stream, StreamAction.TOMBSTONE)
    question = f"Erase all events of stream {stream!r} and close it for ever?"
    _change(
        context,
        url=storage,
        change=change,
        question=question,
        reason=reason,
        actor=actor,
        yes=yes,
        force=force,
    )


def _change(
    context: typer.Context,
    *,
    url: str | None,
    change: StreamChange,
    question: str,
    reason: str,
    actor: str,
    yes: bool,
    force: bool,
) -> None:
    async def work(output: Output, place: Place) -> ExitCode:
        async with place.opened() as storage:
            before = await storage.stream_info(change.stream_id)
            if not before.version and not force:
                output.say(
                    f"Stream {change.stream_id!r} never had an event: is its name mistyped? To "
                    f"change it nevertheless: --force."
                )
                return ExitCode.REFUSED
            if not output.confirmed(question, yes=yes):
                return ExitCode.REFUSED
            position = await change_stream(
                storage, change, reason=reason, actor=actor, at=SystemClock().now()
            )
            info = await storage.stream_info(change.stream_id)
        output.object(
            {
                "stream": info.stream_id,
                "version": info.version,
                "first_version": info.first_version,
                "state": info.state.value,
                "recorded_in": records_of(info.stream_id),
                "position": position,
            }
        )
        return ExitCode.OK

    perform(context, work, url=url)
