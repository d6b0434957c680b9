"""Readers get the rows of the live generation, also if they started before it was switched to."""

import asyncio

import pytest

from headwater.errors import RowConflictError, SwitchError
from headwater.operations.projections.building import drop
from headwater.ports.storage import Storage
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.projections.conftest import OpenStorage
from tests.projections.generations_by_hand import (
    NAMES,
    ROWS,
    Figure,
    Noted,
    build,
    switch,
    units_on,
)

SWITCHES = 8


async def look(units: Units) -> tuple[int, set[int], int]:
    """Return the generation of one row, those of all, and how many there are."""
    figures = units.new(reads_only=True).collection(Figure)
    one = await figures.get("n3")
    assert one is not None
    return one.generation, {row.generation for row in await figures.find()}, await figures.count()


async def test_a_reader_that_started_before_a_switch_reads_the_new_rows_after_it(
    opened: OpenStorage,
) -> None:
    operator, reader = await opened(), units_on(await opened())
    await build(operator, live=True)
    assert await look(reader) == (1, {1}, len(NAMES))

    await build(operator)
    assert await look(reader) == (1, {1}, len(NAMES))
    await switch(operator)

    assert await look(reader) == (2, {2}, len(NAMES))
    await drop(operator, ROWS.name, 1)
    assert await look(reader) == (2, {2}, len(NAMES))


async def test_a_page_of_rows_is_of_one_generation_wherever_it_begins(opened: OpenStorage) -> None:
    operator, reader = await opened(), units_on(await opened())
    await build(operator, live=True)
    figures = reader.new(reads_only=True).collection(Figure)
    assert len(await figures.find(limit=3, offset=4)) == 3
    await build(operator)
    await switch(operator)

    page = await figures.find(limit=3, offset=4)

    assert page == [Figure(name, 2) for name in NAMES[4:7]]
    assert await figures.find(generation=1) == []
    assert await figures.count(generation=2) == len(NAMES)


async def test_readers_meet_no_mixture_and_no_error_while_generations_come_and_go(
    opened: OpenStorage,
) -> None:
    operator = await opened()
    await build(operator, live=True)
    done = asyncio.Event()
    readers = [units_on(await opened()) for _ in range(2)]

    seen: list[list[int]] = [[] for _ in readers]

    async def read(units: Units, seen: list[int]) -> None:
        while not done.is_set():
            figures = units.new(reads_only=True).collection(Figure)
            one, rows = await figures.get("n3"), await figures.find(order_by="-generation")
            page, count = await figures.find(limit=5, offset=5), await figures.count()
            assert one is not None
            assert (len(rows), len(page), count) == (len(NAMES), 5, len(NAMES))
            for found in (rows, page):
                assert len({row.generation for row in found}) == 1
            seen += [one.generation, rows[0].generation, page[0].generation]

    async def operate() -> None:
        for _ in range(SWITCHES):
            await build(operator)
            live = await switch(operator)
            await drop(operator, ROWS.name, live.number - 1)
        done.set()

    async with asyncio.timeout(60):
        await asyncio.gather(*map(read, readers, seen), operate())

    for generations in seen:
        assert generations == sorted(generations)


async def test_a_decision_on_a_row_is_made_again_on_the_one_that_is_live(
    opened: OpenStorage,
) -> None:
    operator, units = await opened(), units_on(await opened())
    await build(operator, live=True)
    seen: list[int] = []

    async def decide(unit: UnitOfWork) -> None:
        row = await unit.collection(Figure).get("n1")
        assert row is not None
        seen.append(row.generation)
        if len(seen) == 1:
            await build(operator)
            await switch(operator)
        unit.append("hand.decisions-1", Noted())

    await units.run(decide)

    assert seen == [1, 2]


async def test_of_two_operators_one_begins_and_one_switches(opened: OpenStorage) -> None:
    one, other = await opened(), await opened()
    await build(one, live=True)

    begun = await asyncio.gather(build(one), build(other), return_exceptions=True)
    switched = await asyncio.gather(switch(one), switch(other), return_exceptions=True)

    assert sum(isinstance(each, SwitchError) for each in begun) == 1
    refused = [each for each in switched if isinstance(each, BaseException)]
    assert len(refused) <= 1
    assert all(isinstance(each, SwitchError | RowConflictError) for each in refused), refused
    assert await look(units_on(await opened())) == (2, {2}, len(NAMES))


async def test_what_is_live_is_not_dropped(storage: Storage) -> None:
    await build(storage, live=True)

    with pytest.raises(SwitchError, match="is what readers read"):
        await drop(storage, ROWS.name, 1)


async def test_a_number_is_not_given_twice(storage: Storage) -> None:
    await build(storage, live=True)
    await build(storage)
    await drop(storage, ROWS.name, 2)

    assert (await build(storage)).number == 3
