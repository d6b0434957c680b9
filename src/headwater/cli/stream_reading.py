"""``headwater stream list``, ``show`` and ``tail``."""

from datetime import datetime
from typing import Annotated

import typer

from headwater.cli.events import as_object, compact, headline, indented, shown_data
from headwater.cli.options import NUMBER_MAX, AppName, Internal, StreamId, Url, UrlArgument, named
from headwater.cli.outcome import ExitCode
from headwater.cli.output import Output
from headwater.cli.running import Place, perform
from headwater.clock import microseconds_since_epoch
from headwater.errors import ConfigurationError
from headwater.operations.tailing import last_events, tail_log
from headwater.ports.log import LogFilter, StoredEvent
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec

TAIL_POSITIONS = 20
"""How far behind the head a tail begins, unless told otherwise."""

PAGE_EVENTS = 500


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("list")(list_streams)
    commands.command("show")(show)
    commands.command("tail")(tail)


def list_streams(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    category: Annotated[
        str | None, typer.Option(help="Only of this category, such as shop.order.")
    ] = None,
    after: Annotated[str, typer.Option(help="Only those that sort after this stream.")] = "",
    internal: Internal = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 1000,
) -> None:
    """List streams by name, with version, oldest version and state."""

    async def work(output: Output, place: Place) -> None:
        async with place.opened() as opened:
            page = await opened.read_streams(
                category=category, after=after, internal=internal, limit=limit
            )
        rows = [
            {
                "stream": info.stream_id,
                "version": info.version,
                "first_version": info.first_version,
                "state": info.state.value,
            }
            for info in page
        ]
        output.rows(("stream", "version", "first_version", "state"), rows)
        if len(page) == limit:
            output.say(f"There may be more: --after {page[-1].stream_id}")

    perform(context, work, url=named(context, url, storage), app=app)


def show(
    context: typer.Context,
    *,
    stream: StreamId,
    storage: Url = None,
    app: AppName = None,
    from_version: Annotated[
        int | None, typer.Option("--from", min=1, max=NUMBER_MAX, help="First version.")
    ] = None,
    to_version: Annotated[
        int | None, typer.Option("--to", min=1, max=NUMBER_MAX, help="Last version.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|TIME",
            help="The stream as it was then: a version, or a time with its zone.",
        ),
    ] = None,
    backwards: Annotated[bool, typer.Option("--backwards", help="The newest first.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=NUMBER_MAX, help="At most so many events.")
    ] = None,
) -> None:
    """Show the events of a stream. Exit code 1: there are none."""

    async def work(output: Output, place: Place) -> ExitCode:
        until = _Until(as_of, to_version)
        codec = place.app.codec if place.app else None
        shown = 0
        async with place.opened_to_read() as opened:
            reading = _Reading(opened, stream, from_version, until, backwards=backwards)
            while shown != limit and (events := await reading.page()) is not None:
                for event in events[: None if limit is None else limit - shown]:
                    _write(output, event, codec, wide=True)
                    shown += 1
        if not shown:
            output.say(f"Stream {stream!r} has no such events.")
        return ExitCode.OK if shown else ExitCode.FOUND

    perform(context, work, url=storage, app=app)


def tail(
    context: typer.Context,
    *,
    url: UrlArgument = None,
    storage: Url = None,
    app: AppName = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=NUMBER_MAX,
            metavar="POSITION",
            help=f"Begin after this position; by default {TAIL_POSITIONS} before the end.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only of this type.")] = None,
    categories: Annotated[
        list[str] | None, typer.Option("--category", help="Only of this category.")
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Only with this tag.")] = None,
    internal: Internal = False,
    archived: Annotated[bool, typer.Option("--archived", help="Also archived streams.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=NUMBER_MAX,
            help="The last so many; with --after or --follow: end after so many events.",
        ),
    ] = None,
) -> None:
    """Show the end of the log, and with --follow what comes; Ctrl-C ends it."""

    async def work(output: Output, place: Place) -> None:
        codec = place.app.codec if place.app else None
        where = LogFilter(
            frozenset(types or ()),
            frozenset(categories or ()),
            frozenset(tags or ()),
            internal,
            archived,
        )
        shown = 0
        async with place.opened_to_read() as opened:
            if after is None and limit is not None and not follow:
                for event in await last_events(opened, where=where, limit=limit):
                    _write(output, event, codec, wide=False)
                return
            start = max(0, await opened.head() - TAIL_POSITIONS) if after is None else after
            async for event in tail_log(opened, after=start, where=where, follow=follow):
                _write(output, event, codec, wide=False)
                shown += 1
                if shown == limit:
                    return

    where_from = named(context, url, storage)
    perform(context, work, url=where_from, app=app, interrupted=ExitCode.OK)


def _write(output: Output, event: StoredEvent, codec: EventCodec | None, *, wide: bool) -> None:
    if output.as_json:
        output.line(as_object(event, codec), "")
        return
    data = shown_data(event, codec)
    text = f"\n{indented(data)}" if wide else f"  {compact(data)}"
    output.line({}, f"{headline(event)}{text}")


class _Until:
    """Where a reading of a stream ends: a version, a time, or neither."""

    def __init__(self, as_of: str | None, to_version: int | None) -> None:
        self.version, self.recorded_at = to_version, None
        if as_of is None:
            return
        if as_of.isdecimal():
            self.version = min(int(as_of), to_version or int(as_of))
            return
        try:
            moment = datetime.fromisoformat(as_of)
            self.recorded_at = microseconds_since_epoch(moment)
        except ValueError as error:
            raise ConfigurationError(
                f"{as_of!r} is neither a version nor a time with its zone, such as "
                f"2026-03-01T12:00:00Z."
            ) from error

    def holds(self, event: StoredEvent) -> bool:
        """Return whether *event* was there then."""
        return (self.version is None or event.version <= self.version) and (
            self.recorded_at is None or event.recorded_at <= self.recorded_at
        )


class _Reading:
    """Reads a part of a stream page by page."""

    def __init__(
        self,
        storage: Storage,
        stream_id: str,
        from_version: int | None,
        until: _Until,
        *,
        backwards: bool,
    ) -> None:
        self._storage, self._stream_id = storage, stream_id
        self._first, self._until, self._backwards = from_version or 1, until, backwards
        self._next = until.version if backwards else self._first
        self._ended = False

    async def page(self) -> list[StoredEvent] | None:
        """Return the events of the next page that are wanted, None after the last."""
        if self._ended:
            return None
        page = await self._storage.read_stream(
            self._stream_id,
            from_version=self._next,
            backwards=self._backwards,
            limit=PAGE_EVENTS,
        )
        wanted = [
            event for event in page if event.version >= self._first and self._until.holds(event)
        ]
        self._ended = len(page) < PAGE_EVENTS
        if page:
            last = page[-1].version
            self._next = last - 1 if self._backwards else last + 1
            past = last <= self._first if self._backwards else not self._until.holds(page[-1])
            self._ended = self._ended or past or self._next < 1
        return wanted
