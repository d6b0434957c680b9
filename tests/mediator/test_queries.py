"""Queries collect nothing, and guard the commands that asked them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    AggregateNotFoundError,
    UnitOfWorkError,
)
from headwater.mediator import Handlers, Mediator, Publisher, Sender
from headwater.mediator.behaviours import QueryCache
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import (
    Accounts,
    HandlerFailedError,
    account,
    bank,
    conflicting,
    log,
)
from tests.mediator.bank import (
    Ask,
    Changed,
    Deposit,
    GetCents,
    ListCents,
    Transfer,
)


@pytest.mark.parametrize("nested", [True, False])
async def test_a_query_collects_nothing(
    *, nested: bool, units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def cents(query: GetCents, accounts: Accounts) -> int:
        (await account(accounts, "a")).deposit(1)
        return 1

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        await sender.send(GetCents("a"))

    mediator = Mediator(table, units=units)
    with pytest.raises(UnitOfWorkError, match="A query collects nothing"):
        await (mediator.send(Transfer("a", "b")) if nested else mediator.send(GetCents("a")))

    assert await log(storage) == []


async def test_what_a_nested_query_read_the_command_was_decided_on(
    units: Units, storage: MemoryStorage
) -> None:
    seen: list[int] = []
    table = bank()

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        seen.append(await sender.send(GetCents("a")))
        (await account(accounts, "b")).deposit(1)
        if len(seen) == 1:
            await conflicting(units, "a")

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert seen == [0, 1]
    assert await log(storage) == [("a", 1), ("b", 1)]


async def test_what_a_nested_query_read_is_guarded_also_if_it_raised(
    units: Units, storage: MemoryStorage
) -> None:
    seen: list[str] = []
    table = Handlers()

    @table.handler
    async def cents(query: GetCents, accounts: Accounts) -> int:
        return (await accounts.get(query.account)).cents

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        try:
            await sender.send(GetCents("a"))
            seen.append("there")
        except AggregateNotFoundError:
            seen.append("missing")
            await conflicting(units, "a")
        (await account(accounts, "b")).deposit(1)

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert seen == ["missing", "there"]


async def test_a_query_that_wrote_and_raised_leaves_nothing_that_can_be_committed(
    units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def cents(query: GetCents, accounts: Accounts) -> int:
        (await accounts.get("a")).deposit(1)
        raise HandlerFailedError("half asked")

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        with pytest.raises(HandlerFailedError):
            await sender.send(GetCents("a"))
        (await account(accounts, "b")).deposit(1)

    await conflicting(units, "a")
    with pytest.raises(UnitOfWorkError, match="half asked"):
        await Mediator(table, units=units).send(Transfer("a", "b"))

    assert await log(storage) == [("a", 1)]


async def test_a_command_inside_a_query_is_refused(units: Units, storage: MemoryStorage) -> None:
    table = bank()

    @table.handler
    async def listing(query: ListCents, sender: Sender) -> AsyncIterator[int]:
        yield await sender.send(Deposit("a"))

    @table.handler
    async def asked(query: Ask, sender: Sender) -> int:
        return await sender.send(Deposit("a"))

    mediator = Mediator(table, units=units)
    with pytest.raises(UnitOfWorkError, match="Deposit was sent inside a query"):
        await mediator.send(Ask())
    with pytest.raises(UnitOfWorkError, match="Deposit was sent inside a query"):
        await anext(mediator.stream(ListCents()))

    assert await log(storage) == []


@pytest.mark.parametrize("stops_early", [True, False])
async def test_a_stream_that_recorded_something_raises_at_its_end(
    *, stops_early: bool, units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def listing(query: ListCents, accounts: Accounts) -> AsyncIterator[int]:
        (await account(accounts, "a")).deposit(1)
        yield 1

    stream = Mediator(table, units=units).stream(ListCents())
    assert await anext(stream) == 1

    with pytest.raises(UnitOfWorkError, match="A query collects nothing"):
        await (stream.aclose() if stops_early else anext(stream))
    assert await log(storage) == []


async def test_what_a_stream_handler_raised_is_not_replaced_by_what_it_recorded(
    units: Units,
) -> None:
    table = Handlers()

    @table.handler
    async def listing(query: ListCents, accounts: Accounts) -> AsyncIterator[int]:
        (await account(accounts, "a")).deposit(1)
        yield 1
        raise HandlerFailedError

    with pytest.raises(HandlerFailedError):
        async for _ in Mediator(table, units=units).stream(ListCents()):
            pass


@pytest.mark.parametrize("nested", [True, False])
async def test_what_a_stream_put_off_runs_when_it_has_ended(*, nested: bool, units: Units) -> None:
    seen: list[str] = []
    table = Handlers()

    @table.handler
    async def listing(query: ListCents, publisher: Publisher) -> AsyncIterator[int]:
        await publisher.publish(Changed("a"), after_commit=True)
        yield 1
        seen.append("end")

    @table.on
    async def hears(event: Changed) -> None:
        seen.append(event.account)

    @table.handler
    async def transfer(command: Transfer, mediator: Mediator) -> None:
        assert [item async for item in mediator.stream(ListCents())] == [1]
        seen.append("end of the command")

    mediator = Mediator(table, units=units)
    if nested:
        await mediator.send(Transfer("a", "b"))
    else:
        assert [item async for item in mediator.stream(ListCents())] == [1]

    assert seen == (["end", "end of the command", "a"] if nested else ["end", "a"])


async def test_queries_at_the_same_time_inside_a_command_dont_disturb_each_other(
    units: Units, storage: MemoryStorage
) -> None:
    table = bank()

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        (await account(accounts, "a")).deposit(3)
        asked = [sender.send(GetCents(id)) for id in ("a", "b", "a")]
        assert await asyncio.gather(*asked) == [3, 0, 3]

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert await log(storage) == [("a", 3)]


async def test_a_cache_stands_aside_inside_a_command(units: Units) -> None:
    table = bank()
    table.behaviour(QueryCache(), on=GetCents)
    inside: list[int] = []

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        await sender.send(Deposit("a", 5))
        inside.append(await sender.send(GetCents("a")))
        raise HandlerFailedError

    mediator = Mediator(table, units=units)
    with pytest.raises(HandlerFailedError):
        await mediator.send(Transfer("a", "b"))

    assert inside == [5]
    assert await mediator.send(GetCents("a")) == 0


async def test_a_stream_reads_in_a_unit_of_its_own(units: Units) -> None:
    table = Handlers()

    @table.handler
    async def cents(query: GetCents, accounts: Accounts, unit: UnitOfWork) -> AsyncIterator[int]:
        assert unit.reads_only
        for id in ("a", "b"):
            found = await accounts.find(id)
            yield found.cents if found is not None else 0

    await Mediator(bank(), units=units).send(Deposit("a", 5))

    assert [item async for item in Mediator(table, units=units).stream(GetCents("a"))] == [5, 0]
