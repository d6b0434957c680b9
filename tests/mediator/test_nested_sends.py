"""Messages that are sent inside a handler join its unit of work."""

from contextlib import suppress

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConfigurationError,
    NestedExecuteError,
    UnitOfWorkError,
)
from headwater.ids import new_id
from headwater.mediator import Handlers, Mediator, Sender
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import Accounts, HandlerFailedError, account, bank, conflicting, log
from tests.mediator.bank import (
    Deposit,
    GetCents,
    Transfer,
)


async def test_a_nested_send_joins_the_unit_of_work(units: Units, storage: MemoryStorage) -> None:
    table = bank()

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        await sender.send(Deposit(command.target, command.cents))
        assert await sender.send(GetCents(command.target)) == command.cents
        assert await log(storage) == []
        await sender.send(Deposit(command.source, -command.cents))

    receipt = await Mediator(table, units=units).execute(Transfer("a", "b", 5))

    assert receipt.position == 2
    assert await log(storage) == [("b", 5), ("a", -5)]


async def test_a_nested_failure_that_was_swallowed_cant_be_committed(
    units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        (await account(accounts, command.account)).deposit(command.cents)
        raise HandlerFailedError("half done")

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        with suppress(HandlerFailedError):
            await sender.send(Deposit("a"))

    with pytest.raises(UnitOfWorkError, match="half done"):
        await Mediator(table, units=units).send(Transfer("a", "b"))

    assert await log(storage) == []


async def test_a_nested_query_that_fails_may_be_swallowed(
    units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def cents(query: GetCents) -> int:
        raise LookupError

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts, sender: Sender) -> int:
        (await account(accounts, "a")).deposit(1)
        with pytest.raises(LookupError):
            await sender.send(GetCents("a"))
        return 1

    await Mediator(table, units=units).send(Deposit("a"))

    assert await log(storage) == [("a", 1)]


async def test_separate_has_a_commit_of_its_own_and_is_done_once(
    units: Units, storage: MemoryStorage
) -> None:
    id, runs = new_id(), 0
    table = bank()

    @table.handler
    async def transfer(command: Transfer, mediator: Mediator, accounts: Accounts) -> None:
        nonlocal runs
        runs += 1
        (await account(accounts, "a")).deposit(7)
        assert await mediator.send(Deposit("fee", 3), id=id, separate=True) == 3
        if runs == 1:
            await conflicting(units, "a")
        else:
            raise HandlerFailedError

    with pytest.raises(HandlerFailedError):
        await Mediator(table, units=units).send(Transfer("a", "b"))

    assert runs == 2
    assert await log(storage) == [("fee", 3), ("a", 1)]


async def test_separate_needs_an_id_and_an_id_inside_needs_separate(units: Units) -> None:
    table = bank()
    refusals: list[str] = []

    @table.handler
    async def transfer(command: Transfer, mediator: Mediator) -> None:
        for options in ({"separate": True}, {"id": new_id()}):
            with pytest.raises(ConfigurationError) as refused:
                await mediator.send(Deposit("a"), **options)
            refusals.append(str(refused.value))

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert ["needs id=…" in refusals[0], "add separate=True" in refusals[1]] == [True, True]


async def test_a_nested_execute_is_refused(units: Units) -> None:
    table = bank()

    @table.handler
    async def transfer(command: Transfer, mediator: Mediator) -> None:
        await mediator.execute(Deposit("a"))

    with pytest.raises(NestedExecuteError, match="no position to return"):
        await Mediator(table, units=units).send(Transfer("a", "b"))


async def test_a_query_has_no_commit_that_an_id_could_belong_to(units: Units) -> None:
    mediator = Mediator(bank(), units=units)

    for options in ({"id": new_id()}, {"id": new_id(), "separate": True}, {"separate": True}):
        with pytest.raises(ConfigurationError, match="GetCents is a query"):
            await mediator.send(GetCents("a"), **options)
    with pytest.raises(ConfigurationError, match="GetCents is a query"):
        await mediator.execute(GetCents("a"), id=new_id())
