"""A command that comes again under its id gets its first answer."""

import asyncio
from uuid import UUID

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    IdempotencyConflictError,
)
from headwater.ids import new_id
from headwater.mediator import Handlers, Mediator
from headwater.metadata import current_context
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import (
    Accounts,
    HandlerFailedError,
    account,
    bank,
    log,
)
from tests.mediator.bank import (
    Deposit,
    Summarize,
    Summary,
    Transfer,
)


async def test_a_command_that_comes_again_gets_the_stored_outcome(
    units: Units, storage: MemoryStorage
) -> None:
    ran: list[str] = []
    table = Handlers()

    @table.handler
    async def summarize(command: Summarize, accounts: Accounts) -> Summary:
        ran.append("ran")
        for id in command.accounts:
            (await account(accounts, id)).deposit(1)
        return Summary(command.accounts, len(command.accounts))

    mediator, id = Mediator(table, units=units), new_id()
    command = Summarize(("a", "b"))
    first = await mediator.execute(command, id=id)
    again = await mediator.execute(Summarize(("a", "b")), id=id)

    assert first == again
    assert first.result == Summary(("a", "b"), 2)
    assert await mediator.send(command, id=id) == first.result
    assert ran == ["ran"]
    assert len(await log(storage)) == 2


async def test_an_answer_of_nothing_is_an_outcome_too(units: Units) -> None:
    ran: list[str] = []
    table = Handlers()

    @table.handler
    async def transfer(command: Transfer) -> None:
        ran.append("ran")

    mediator, id = Mediator(table, units=units), new_id()
    for _ in range(2):
        await mediator.send(Transfer("a", "b"), id=id)

    assert ran == ["ran"]


async def test_duplicates_that_race_happen_once_in_effect(
    units: Units, storage: MemoryStorage
) -> None:
    mediator, id = Mediator(bank(), units=units), new_id()

    answers = await asyncio.gather(*[mediator.send(Deposit("a", 5), id=id) for _ in range(10)])

    assert answers == [5] * 10
    assert await log(storage) == [("a", 5)]


async def test_one_id_for_two_commands_is_refused(units: Units, storage: MemoryStorage) -> None:
    mediator, id = Mediator(bank(), units=units), new_id()
    await mediator.send(Deposit("a", 5), id=id)

    with pytest.raises(IdempotencyConflictError):
        await mediator.send(Deposit("a", 6), id=id)

    assert await log(storage) == [("a", 5)]


async def test_a_command_that_failed_can_be_sent_again(units: Units) -> None:
    fails = [True, False]
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit) -> int:
        if fails.pop(0):
            raise HandlerFailedError
        return 1

    mediator, id = Mediator(table, units=units), new_id()
    with pytest.raises(HandlerFailedError):
        await mediator.send(Deposit("a"), id=id)

    assert await mediator.send(Deposit("a"), id=id) == 1


async def test_the_id_is_the_id_of_the_message(units: Units) -> None:
    seen: list[UUID] = []
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit) -> int:
        context = current_context()
        assert context is not None
        seen.append(context.message_id)
        return 1

    id = new_id()
    await Mediator(table, units=units).send(Deposit("a"), id=id)

    assert seen == [id]
