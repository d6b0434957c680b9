"""Units of work around messages: one commit at the outermost, or nothing."""

import asyncio
from typing import Any

import pytest

from headwater.adapters.container.instances import Instances
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConcurrencyError,
)
from headwater.mediator import Handlers, Mediator, Next
from headwater.unit_of_work.collection import Collection
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
    Account,
    Balance,
    Deposit,
    GetCents,
)

# ----------------------------------------------------------------------------- committing


async def test_a_command_is_committed_when_its_handler_ends(
    units: Units, storage: MemoryStorage
) -> None:
    mediator = Mediator(bank(), units=units)

    assert await mediator.send(Deposit("a", 5)) == 5
    assert await mediator.send(GetCents("a")) == 5
    assert await log(storage) == [("a", 5)]


async def test_nothing_is_written_by_a_handler_that_raised(
    units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        (await account(accounts, command.account)).deposit(command.cents)
        raise HandlerFailedError

    with pytest.raises(HandlerFailedError):
        await Mediator(table, units=units).send(Deposit("a"))

    assert await log(storage) == []


async def test_execute_returns_the_position_of_what_was_committed(units: Units) -> None:
    mediator = Mediator(bank(), units=units)

    first = await mediator.execute(Deposit("a", 5))
    second = await mediator.execute(Deposit("b", 6))
    nothing = await mediator.execute(GetCents("a"))

    assert [(r.result, r.position) for r in (first, second, nothing)] == [(5, 1), (6, 2), (5, 0)]


async def test_a_handler_class_gets_what_belongs_to_the_current_unit(
    units: Units, storage: MemoryStorage
) -> None:
    table = Handlers()

    @table.handler
    class Depositing:
        def __init__(self, accounts: Accounts, balances: Collection[Balance]) -> None:
            self.accounts, self.balances = accounts, balances

        async def handle(self, command: Deposit, unit: UnitOfWork) -> int:
            (await account(self.accounts, command.account)).deposit(command.cents)
            self.balances.put(Balance(command.account, command.cents))
            assert unit.repository(Account) is not self.accounts
            return command.cents

    mediator = Mediator(table, units=units)
    await mediator.send(Deposit("a", 5))
    await mediator.send(Deposit("a", 6))

    assert await log(storage) == [("a", 5), ("a", 6)]
    assert await units.new().collection(Balance).get("a") == Balance("a", 6)


# ----------------------------------------------------------------------------- conflicts


async def test_a_conflict_runs_the_handler_again_and_what_stands_inside(
    units: Units, storage: MemoryStorage
) -> None:
    seen: list[str] = []
    table = Handlers()

    def behaviour(name: str, order: int) -> None:
        @table.behaviour(order=order)
        async def around(message: Deposit, next: Next[Deposit, int]) -> int:
            seen.append(name)
            return await next(message)

    behaviour("inside", 0)
    behaviour("outside", -1)

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        seen.append("handler")
        into = await account(accounts, "a")
        into.deposit(command.cents)
        if seen.count("handler") == 1:
            await conflicting(units, "a")
        return into.cents

    assert await Mediator(table, units=units).send(Deposit("a", 5)) == 6
    assert seen == ["outside", "inside", "handler", "inside", "handler"]
    assert await log(storage) == [("a", 1), ("a", 5)]


async def test_a_request_scope_is_new_for_each_run(units: Units) -> None:
    made: list[object] = []

    class Session:
        def __init__(self, values: Any) -> None:
            made.append(values[UnitOfWork])

    container = Instances(
        per_request={Session: Session, UnitOfWork: lambda values: values[UnitOfWork]}
    )
    table = Handlers()

    @table.handler
    async def deposit(
        command: Deposit, session: Session, unit: UnitOfWork, accounts: Accounts
    ) -> int:
        assert made[-1] is unit
        (await account(accounts, "a")).deposit(1)
        if len(made) == 1:
            await conflicting(units, "a")
        return len(made)

    assert await Mediator(table, units=units, container=container).send(Deposit("a")) == 2


async def test_a_conflict_that_does_not_end_is_raised(units: Units) -> None:
    runs = 0
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        nonlocal runs
        runs += 1
        (await account(accounts, "a")).deposit(1)
        await conflicting(units, "a")
        return 0

    with pytest.raises(ConcurrencyError):
        await Mediator(table, units=units).send(Deposit("a"))

    assert runs == 21


async def test_racing_commands_all_succeed(units: Units, storage: MemoryStorage) -> None:
    mediator = Mediator(bank(), units=units)

    await asyncio.gather(*[mediator.send(Deposit("a")) for _ in range(50)])

    assert await mediator.send(GetCents("a")) == 50
    assert len(await log(storage)) == 50
