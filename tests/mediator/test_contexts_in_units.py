"""The contexts of messages within units of work."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    UnitOfWorkError,
)
from headwater.event_store import EventStore
from headwater.ids import new_id
from headwater.mediator import Handlers, Mediator, Sender
from headwater.metadata import current_context, message_context
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import (
    Accounts,
    HandlerFailedError,
    account,
    bank,
    log,
    publishing,
)
from tests.mediator.bank import (
    Changed,
    Deposit,
    Deposited,
    Summarize,
    Summary,
    Transfer,
)


async def test_each_event_carries_the_message_that_recorded_it(
    units: Units, storage: MemoryStorage
) -> None:
    ids: list[UUID] = []
    table = bank()

    def note() -> None:
        context = current_context()
        assert context is not None
        ids.append(context.message_id)

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        note()
        (await account(accounts, "a")).deposit(1)
        await sender.send(Summarize(("b",)))
        (await account(accounts, "a")).deposit(3)

    @table.handler
    async def summarize(command: Summarize, accounts: Accounts) -> Summary:
        note()
        (await account(accounts, "a")).deposit(2)
        return Summary((), 0)

    with message_context(actor="ann") as around:
        await Mediator(table, units=units).send(Transfer("a", "b"))

    events = [e async for e in EventStore(storage, types=[Deposited]).read_all()]
    outer, inner = ids
    assert [e.payload.cents for e in events] == [1, 2, 3]
    assert [e.causation_id for e in events] == [outer, inner, outer]
    assert {e.correlation_id for e in events} == {around.correlation_id}
    assert {e.actor for e in events} == {"ann"}


async def test_what_is_published_after_the_commit_is_caused_by_who_published_it(
    units: Units,
) -> None:
    causes: list[Any] = []
    table = publishing(after_commit=True)

    @table.on
    async def hears(event: Changed) -> None:
        context = current_context()
        assert context is not None
        causes.append(context.causation_id)

    id = new_id()
    await Mediator(table, units=units).send(Transfer("a", "b"), id=id)

    assert causes == [id]


async def test_a_task_that_outlives_its_handler_cant_write_into_the_committed_unit(
    units: Units, storage: MemoryStorage
) -> None:
    go = asyncio.Event()
    tasks: list[asyncio.Task[int]] = []
    table = bank()

    async def later(sender: Sender) -> int:
        await go.wait()
        return await sender.send(Deposit("late"))

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        tasks.append(asyncio.create_task(later(sender)))

    await Mediator(table, units=units).send(Transfer("a", "b"))
    go.set()

    with pytest.raises(UnitOfWorkError, match="This unit of work is done"):
        await tasks[0]
    assert await log(storage) == []


async def test_a_message_that_nobody_awaits_keeps_the_unit_from_being_committed(
    units: Units, storage: MemoryStorage
) -> None:
    go = asyncio.Event()
    tasks: list[asyncio.Task[int]] = []
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        (await account(accounts, command.account)).deposit(command.cents)
        await go.wait()
        return command.cents

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        tasks.append(asyncio.create_task(sender.send(Deposit("b"))))
        await asyncio.sleep(0)
        (await account(accounts, "a")).deposit(1)

    with pytest.raises(UnitOfWorkError, match="still under way"):
        await Mediator(table, units=units).send(Transfer("a", "b"))
    go.set()

    # What it recorded is lost, so it must not be told that all went well.
    with pytest.raises(UnitOfWorkError, match="This unit of work is done"):
        await tasks[0]
    assert await log(storage) == []


@pytest.mark.parametrize("fails", [True, False])
async def test_what_is_sent_when_the_handler_has_ended_is_refused(
    *, fails: bool, units: Units, storage: MemoryStorage
) -> None:
    tasks: list[asyncio.Task[int]] = []
    table = bank()

    @table.handler
    async def transfer(command: Transfer, sender: Sender, accounts: Accounts) -> None:
        (await account(accounts, "a")).deposit(1)
        # It begins in the next turn of the loop: while the commit is under way, or after it.
        tasks.append(asyncio.create_task(sender.send(Deposit("late"))))
        if fails:
            raise HandlerFailedError

    with suppress(HandlerFailedError):
        await Mediator(table, units=units).send(Transfer("a", "b"))

    with pytest.raises(UnitOfWorkError, match="This unit of work is done"):
        await tasks[0]
    assert await log(storage) == ([] if fails else [("a", 1)])


async def test_nested_messages_at_the_same_time_may_be_awaited_together(
    units: Units, storage: MemoryStorage
) -> None:
    table = bank()

    @table.handler
    async def transfer(command: Transfer, sender: Sender) -> None:
        await asyncio.gather(sender.send(Deposit("a")), sender.send(Deposit("b")))

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert sorted(await log(storage)) == [("a", 1), ("b", 1)]
