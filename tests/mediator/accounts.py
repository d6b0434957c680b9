"""A bank whose accounts are moved by messages inside messages."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from headwater.adapters.storage.memory import MemoryStorage
from headwater.event_store import EventStore
from headwater.mediator import Handlers, Mediator, Strategy
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.mediator.bank import (
    Account,
    Changed,
    Deposit,
    Deposited,
    GetCents,
    Transfer,
)

Accounts = Repository[Account]


class HandlerFailedError(Exception):
    pass


async def account(accounts: Accounts, id: str) -> Account:
    """Return the account under *id*, a new one if there is none."""
    found = await accounts.find(id)
    if found is None:
        found = Account(id)
        accounts.add(found)
    return found


def bank() -> Handlers:
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        into = await account(accounts, command.account)
        into.deposit(command.cents)
        return into.cents

    @table.handler
    async def cents(query: GetCents, accounts: Accounts) -> int:
        found = await accounts.find(query.account)
        return found.cents if found is not None else 0

    return table


async def log(storage: MemoryStorage) -> list[tuple[str, int]]:
    """Return the stream and the cents of each deposit, in the order of the log."""
    store = EventStore(storage, types=[Deposited])
    return [
        (event.stream_id.removeprefix("app.account-"), event.payload.cents)
        async for event in store.read_all()
    ]


async def conflicting(units: Units, id: str) -> None:
    """Let another writer deposit one cent."""

    async def write(unit: UnitOfWork) -> None:
        (await account(unit.repository(Account), id)).deposit(1)

    await asyncio.create_task(units.run(write), context=Context())


def publishing(
    *listeners: Callable[..., Any], strategy: Strategy = Strategy.PARALLEL, **options: Any
) -> Handlers:
    """Return a bank whose Transfer deposits 1 into its source and publishes that."""
    table = bank()

    @table.handler
    async def transfer(
        command: Transfer, accounts: Accounts, mediator: Mediator, unit: UnitOfWork
    ) -> None:
        (await account(accounts, command.source)).deposit(1)
        await mediator.publish(Changed(command.source), strategy=strategy, **options)

    for listener in listeners:
        table.on(listener)
    return table


async def fails(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "d")).deposit(5)
    raise HandlerFailedError("fails")
