"""A new version makes rows of another form: nobody reads what no event has written."""

import pytest

from headwater import App, BoundedContext, Event, ExpectedVersion, Projection, ReadModel, applies
from headwater.errors import RowFormError
from headwater.ports.storage import Storage
from headwater.unit_of_work.row_type import where
from tests.projections.conftest import OpenStorage
from tests.projections.tallies import WORKERS


class Sold(Event, context="form"):
    product: str


class First:
    class Sales(ReadModel, key="product", context="form"):
        product: str
        pieces: int = 0

    class SalesOf(Projection[Sales], name="sales"):
        @applies
        def sold(self, event: Sold, row: "First.Sales | None") -> "First.Sales":
            return First.Sales(event.product, (row.pieces if row else 0) + 1)


class Second:
    class Sales(ReadModel, key="product", indexed=("sold",), context="form"):
        product: str
        sold: int = 0
        pieces: int = 0

    class SalesOf(Projection[Sales], name="sales", version=2):
        @applies
        def sold(self, event: Sold, row: "Second.Sales | None") -> "Second.Sales":
            count = (row.sold if row else 0) + 1
            return Second.Sales(event.product, count, count)


class Third:
    class Sales(ReadModel, key="product", context="form"):
        product: str
        times: int

    class SalesOf(Projection[Sales], name="sales", version=3):
        @applies
        def sold(self, event: Sold, row: "Third.Sales | None") -> "Third.Sales":
            return Third.Sales(event.product, (row.times if row else 0) + 1)


Release = type[First] | type[Second] | type[Third]


def app_of(release: Release, storage: Storage) -> App:
    context = BoundedContext("form")
    context.register(Sold)
    context.projection(release.SalesOf)
    app = App("form", storage=storage, workers=WORKERS)
    app.include(context)
    return app


async def sell(app: App) -> int:
    done = await app.event_store.append("form.all-1", [Sold("cd")], expected=ExpectedVersion.any())
    return done.position


async def switch(app: App, release: Release) -> None:
    await app.projections.wait(release.SalesOf, timeout=20)
    await app.projections.switch(release.SalesOf)


async def test_a_field_that_is_added_has_its_default_until_the_switch_and_finds_nothing(
    opened: OpenStorage,
) -> None:
    async with app_of(First, await opened()) as old:
        await old.wait_for(First.SalesOf, await sell(old))
        async with app_of(Second, await opened()) as new:
            async with new.event_store.unit_of_work() as unit:
                rows = unit.collection(Second.Sales)
                assert await rows.get("cd") == Second.Sales("cd", 0, 1)
                for find in (
                    lambda: rows.find(sold=1),
                    lambda: rows.find(order_by="sold"),
                    lambda: rows.count(where("sold") > 0),
                ):
                    with pytest.raises(RowFormError, match="of version 1, have no sold"):
                        await find()

                await switch(new, Second)

                assert await rows.find(sold=1) == [Second.Sales("cd", 1, 1)]
            async with old.event_store.unit_of_work() as unit:
                assert await unit.collection(First.Sales).find() == [First.Sales("cd", 1)]


async def test_a_field_that_is_taken_away_is_missed_by_the_release_before(
    opened: OpenStorage,
) -> None:
    async with app_of(First, await opened()) as old:
        await old.wait_for(First.SalesOf, await sell(old))
        async with (
            app_of(Third, await opened()) as new,
            new.event_store.unit_of_work() as unit,
            old.event_store.unit_of_work() as unit_before,
        ):
            rows, before = unit.collection(Third.Sales), unit_before.collection(First.Sales)
            with pytest.raises(RowFormError, match="of version 1, have no times"):
                await rows.get("cd")
            assert await before.get("cd") == First.Sales("cd", 1)

            await switch(new, Third)

            assert await rows.get("cd") == Third.Sales("cd", 1)
            with pytest.raises(RowFormError, match="of version 3, have no pieces"):
                await before.get("cd")
