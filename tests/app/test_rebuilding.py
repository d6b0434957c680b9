"""An app builds a projection again while it runs."""

import pytest

from headwater import App, BoundedContext, Collection, Event, Projection, ReadModel, applies
from headwater.errors import ConfigurationError
from headwater.ports.changes import Changes, RowChange
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion


class Counted(Event, context="tally"):
    name: str


class Tally(ReadModel, key="name", context="tally"):
    name: str
    count: int = 0


class Mark(ReadModel, key="name", context="tally"):
    name: str


class Tallies(Projection[Tally]):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally:
        return Tally(event.name, (row.count if row else 0) + 1)


class MoreTallies(Projection[Tally]):
    @applies
    def counted(self, event: Counted, row: Tally | None) -> Tally | None:
        return row


async def marks(event: Counted, rows: Collection[Mark]) -> None:
    rows.put(Mark(event.name))


async def note(event: Counted) -> None: ...


def tally(*, projections: tuple[type[Projection[Tally]], ...] = (Tallies,)) -> BoundedContext:
    context = BoundedContext("tally")
    context.register(Counted)
    for projection in projections:
        context.projection(projection)
    context.projection(marks)
    context.subscriber(note)
    return context


def app_of(context: BoundedContext, storage: Storage) -> App:
    app = App("counting", storage=storage)
    app.include(context)
    return app


async def count(app: App, *names: str) -> None:
    for name in names:
        stream = f"tally.all-{name}"
        await app.event_store.append(stream, [Counted(name)], expected=ExpectedVersion.any())
    await app.settle()


async def spoil(storage: Storage, collection: str) -> None:
    """Write a row that no event tells of."""
    await storage.commit(Changes(rows=(RowChange(collection, "x", '{"name":"x"}'),)))


async def test_a_projection_is_built_again_and_can_be_waited_for(storage: Storage) -> None:
    async with app_of(tally(), storage) as app:
        await count(app, "a", "a", "b")
        await spoil(storage, "tally_tally")

        rebuilt = await app.rebuild(Tallies)
        await app.wait_for(Tallies, rebuilt.head)

        assert (rebuilt.rows, rebuilt.head) == (3, 3)
        assert sorted(await storage.get_rows("tally_tally", ["a", "b", "x"])) == ["a", "b"]


async def test_a_projection_that_is_a_function_is_built_again_by_its_models(
    storage: Storage,
) -> None:
    async with app_of(tally(), storage) as app:
        await count(app, "a")
        await spoil(storage, "tally_mark")

        with pytest.raises(ConfigurationError, match="Name its collections"):
            await app.rebuild(marks)
        rebuilt = await app.rebuild(marks, models=[Mark])
        await app.wait_for(marks, rebuilt.head)

        assert list(await storage.get_rows("tally_mark", ["a", "x"])) == ["a"]


async def test_what_can_not_be_built_again_is_told(storage: Storage) -> None:
    async with app_of(tally(projections=(Tallies, MoreTallies)), storage) as app:
        await count(app, "a")

        with pytest.raises(ConfigurationError, match="there are"):
            await app.rebuild("tally.nothing")
        with pytest.raises(ConfigurationError, match="several projections"):
            await app.rebuild(Tallies)
        with pytest.raises(ConfigurationError, match="does again all that it did"):
            await app.rebuild(note)
