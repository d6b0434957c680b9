"""Events that know rows by something else than their key; rows of several streams; deletion."""

import random

import pytest

from headwater import App, BoundedContext, Event, Projection, ReadModel, applies
from headwater.errors import SubscriptionFailedError, WiringError
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing import given


class Opened(Event, context="cases"):
    case: str
    customer: str
    customer_name: str


class Paid(Event, context="cases"):
    case: str
    cents: int


class Renamed(Event, context="cases"):
    customer: str
    name: str


class Left(Event, context="cases"):
    id: str


class Case(ReadModel, key="case", indexed=("customer",), context="cases"):
    case: str
    customer: str
    customer_name: str
    cents: int = 0


class Cases(Projection[Case], partitions=1):
    @applies
    def opened(self, event: Opened, row: Case | None) -> Case:
        return Case(event.case, event.customer, event.customer_name)

    @applies
    def paid(self, event: Paid, row: Case) -> Case:
        return Case(row.case, row.customer, row.customer_name, row.cents + event.cents)

    @applies(each="customer")
    def renamed(self, event: Renamed, row: Case) -> Case:
        if event.name == "nobody":
            raise LookupError("nobody is called that")
        return Case(row.case, row.customer, event.name, row.cents)

    @applies(each="customer", key=lambda event: event.id)
    def left(self, event: Left, row: Case) -> None:
        return None


def app_on(storage: Storage) -> App:
    context = BoundedContext("cases")
    context.projection(Cases)
    app = App("cases", storage=storage)
    app.include(context)
    return app


async def append(app: App, stream: str, *events: object) -> int:
    any_version = ExpectedVersion.any()
    return (await app.event_store.append(stream, events, expected=any_version)).position


async def stored(app: App) -> dict[str, Case]:
    async with app.event_store.unit_of_work() as unit:
        return {row.case: row for row in await unit.collection(Case).find()}


def plainly(events: list[object]) -> dict[str, Case]:
    rows: dict[str, Case] = {}
    for event in events:
        match event:
            case Opened(case, customer, name):
                rows[case] = Case(case, customer, name)
            case Paid(case, cents):
                row = rows[case]
                rows[case] = Case(case, row.customer, row.customer_name, row.cents + cents)
            case Renamed(customer, name):
                for row in list(rows.values()):
                    if row.customer == customer:
                        rows[row.case] = Case(row.case, customer, name, row.cents)
            case Left(customer):
                rows = {case: row for case, row in rows.items() if row.customer != customer}
            case _:
                raise AssertionError(event)
    return rows


async def test_rows_are_what_a_plain_loop_over_all_events_makes_of_them(storage: Storage) -> None:
    chance, events = random.Random(3), list[object]()
    for n in range(150):
        rows = plainly(events)
        customer = f"c{chance.randrange(4)}"
        kind = chance.randrange(10)
        if kind < 4 or not rows:
            events.append(Opened(f"case{n}", customer, f"name{n}"))
        elif kind < 7:
            events.append(Paid(chance.choice(sorted(rows)), n))
        elif kind < 9:
            events.append(Renamed(customer, f"name{n}"))
        else:
            events.append(Left(customer))

    async with app_on(storage) as app:
        for n, event in enumerate(events):
            last = await append(app, f"cases.any-{n % 7}", event)
            if n == 60:
                await app.wait_for(Cases, last)
        await app.wait_for(Cases, len(events))

        expected = plainly(events)
        assert await stored(app) == expected
        assert await app.read_models_as_of(Cases, at=len(events)) == expected
        some = min(expected)
        assert await app.read_model_as_of(Cases, some, at=len(events)) == expected[some]


async def test_an_event_that_fails_on_one_of_its_rows_changes_none(storage: Storage) -> None:
    async with app_on(storage) as app:
        await append(app, "cases.a-1", Opened("1", "c", "n"), Opened("2", "c", "n"))
        await append(app, "cases.a-1", Paid("1", 5), Renamed("c", "nobody"), Paid("1", 5))

        with pytest.raises(SubscriptionFailedError, match="position 4"):
            await app.wait_for(Cases, 5)

        assert await stored(app) == {"1": Case("1", "c", "n", 5), "2": Case("2", "c", "n")}


def test_scenarios_apply_an_event_to_each_row_too() -> None:
    one, other = Case("1", "c", "n"), Case("2", "d", "n")

    given(Cases, one, other).when(Renamed("c", "m")).then(Case("1", "c", "m"), other)
    given(Cases, one, other).when(Left("d")).then(one)


class Unindexed(ReadModel, key="name", context="cases"):
    name: str
    customer: str


def test_what_can_not_be_found_or_would_race_is_said_at_the_start() -> None:
    class ByUnindexed(Projection[Unindexed], partitions=1):
        @applies(each="customer")
        def renamed(self, event: Renamed, row: Unindexed) -> Unindexed:
            return row

    class SideBySide(Projection[Case]):
        @applies(each="customer")
        def renamed(self, event: Renamed, row: Case) -> Case:
            return row

    class Inline(Projection[Case], partitions=1, inline=True):
        @applies(each="customer")
        def renamed(self, event: Renamed, row: Case) -> Case:
            return row

    for projection, problem in (
        (ByUnindexed, "does not index"),
        (SideBySide, "can't be worked side by side"),
        (Inline, "can't be computed inline"),
    ):
        context = BoundedContext("cases")
        context.projection(projection)
        app = App("cases")
        app.include(context)
        with pytest.raises(WiringError, match=problem):
            app.check()
