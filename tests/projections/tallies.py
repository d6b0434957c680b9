"""A projection that is rebuilt in tests, in several versions, with or without a fault."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater import App, BoundedContext, Event, Projection, ReadModel, applies
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.subscriptions.flow import Workers

WORKERS = Workers(lease_seconds=2.0, renew_seconds=0.2)
"""What a killed worker had is free soon."""


class Counted(Event, context="tally"):
    name: str
    by: int = 1


class Forgot(Event, context="tally"):
    name: str


class Tally(ReadModel, key="name", indexed=("count",), context="tally"):
    name: str
    count: int = 0
    doubled: int = 0


class Tallies(Projection[Tally], name="tallies", partitions=4):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        return Tally(event.name, (row.count if row else 0) + event.by)

    @applies
    def forgot(self, event: Forgot, row: Tally | None) -> None:
        return None


class DoubledTallies(Projection[Tally], name="tallies", partitions=4, version=2):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        count = (row.count if row else 0) + event.by
        return Tally(event.name, count, 2 * count)

    @applies
    def forgot(self, event: Forgot, row: Tally | None) -> None:
        return None


class InlineTallies(Projection[Tally], name="tallies", partitions=4, inline=True):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        return Tally(event.name, (row.count if row else 0) + event.by)

    @applies
    def forgot(self, event: Forgot, row: Tally | None) -> None:
        return None


class BrokenTallies(Projection[Tally], name="tallies", partitions=4, version=2):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        if event.name == "poison":
            raise LookupError("it can't count that")
        return Tally(event.name, (row.count if row else 0) + event.by)


def app_of(
    projection: type[Projection[Tally]],
    storage: str | Storage,
    *,
    database: str | Storage | None = None,
    **options: Any,
) -> App:
    context = BoundedContext("tally")
    context.register(Counted, Forgot)
    databases: Mapping[str, str | Storage] = {} if database is None else {"rows": database}
    context.projection(database="rows" if database is not None else None)(projection)
    app = App("counting", storage=storage, databases=databases, workers=WORKERS, **options)
    app.include(context)
    return app


async def count(app: App, *names: str) -> int:
    """Append an event for each of *names*; return the position of the last."""
    position = 0
    for name in names:
        appended = await app.event_store.append(
            f"tally.all-{name}", [Counted(name)], expected=ExpectedVersion.any()
        )
        position = appended.position
    return position


async def rows(app: App) -> Sequence[Tally]:
    async with app.event_store.unit_of_work() as unit:
        return await unit.collection(Tally).find()


async def counts(app: App) -> dict[str, int]:
    return {row.name: row.count for row in await rows(app)}
