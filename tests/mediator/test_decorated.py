"""Handlers that are decorated with policies, or wrapped in them: what `policy=` does, they do."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headwater.adapters.container.instances import Instances
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import WiringError
from headwater.mediator import Handlers, Mediator
from headwater.resilience import CircuitBreaker, Policy, PolicyHandler, Retry, RetryHandler
from headwater.resilience.guards import taken_off
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import Accounts, HandlerFailedError, account, log
from tests.mediator.bank import Ask, Deposit
from tests.mediator.sessions import Stock
from tests.mediator.tries import Tries


async def deposit_twice(command: Deposit, accounts: Accounts, tries: list[int]) -> int:
    to = await account(accounts, command.account)
    to.deposit(command.cents)
    tries.append(1)
    if len(tries) < 3:
        raise HandlerFailedError
    return to.cents


def twice(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    return Retry(2, delay=0)(Retry(2, delay=0)(handler))


def logged(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(handler)
    async def around(*arguments: Any, **options: Any) -> Any:
        return await handler(*arguments, **options)

    return around


@pytest.mark.parametrize(
    "decorate",
    [Retry(delay=0), Policy(Retry(delay=0)), twice],
)
async def test_each_attempt_of_a_decorated_handler_has_a_unit_of_its_own(
    units: Units, storage: MemoryStorage, decorate: Callable[..., Any]
) -> None:
    table, tries = Handlers(), list[int]()

    @table.handler
    @decorate
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        return await deposit_twice(command, accounts, tries)

    assert await Mediator(table, units=units).send(Deposit("a", 5)) == 5
    assert await log(storage) == [("a", 5)]


@pytest.mark.parametrize("with_container", [True, False])
async def test_each_attempt_of_a_wrapped_class_has_a_unit_of_its_own(
    units: Units, storage: MemoryStorage, *, with_container: bool
) -> None:
    table, tries = Handlers(), list[int]()

    class Depositing:
        def __init__(self, stock: Stock) -> None:
            self.stock = stock

        async def handle_deposit(self, command: Deposit, accounts: Accounts) -> int:
            assert isinstance(self.stock, Stock)
            return await deposit_twice(command, accounts, tries)

    wrapped = RetryHandler(Depositing, delay=0)
    table.handler(wrapped)
    stock = Stock()
    instances: dict[Any, Any] = {Stock: stock}
    if with_container:
        instances[wrapped] = wrapped(stock)

    mediator = Mediator(table, units=units, container=Instances(instances))

    assert await mediator.send(Deposit("a", 5)) == 5
    assert await log(storage) == [("a", 5)]


async def test_the_policy_of_the_registration_stands_around_the_decorator(units: Units) -> None:
    table, outer, inner, calls = Handlers(), Tries(3), Retry(2, delay=0), list[int]()

    @table.handler(policy=outer)
    @inner
    async def ask(query: Ask) -> int:
        calls.append(1)
        if len(calls) < 6:
            raise HandlerFailedError
        return 1

    assert await Mediator(table, units=units).send(Ask()) == 1
    assert len(outer.failures) == 2


def test_a_policy_under_another_decorator_is_a_fault_with_the_advice() -> None:
    table = Handlers()

    @table.handler
    @logged
    @logged
    @Retry(3)
    async def ask(query: Ask) -> int:
        return 1

    with pytest.raises(WiringError) as told:
        Mediator(table)

    [fault] = told.value.faults
    assert "ask is decorated with a policy that stands under another decorator" in fault.problem
    assert fault.advice == "Put the policy outermost, or give it as policy=…."


async def test_another_decorator_may_stand_under_a_policy(units: Units) -> None:
    table, calls = Handlers(), list[int]()

    @table.handler
    @Retry(3, delay=0)
    @logged
    async def ask(query: Ask) -> int:
        calls.append(1)
        if len(calls) < 2:
            raise HandlerFailedError
        return 1

    assert await Mediator(table, units=units).send(Ask()) == 1


def test_guards_are_taken_off_outermost_first_and_not_off_what_others_have_wrapped() -> None:
    retry, breaker = Retry(), CircuitBreaker()

    async def plain() -> None: ...

    guarded = retry(breaker(plain))

    @functools.wraps(guarded)
    async def around() -> None: ...

    class Handling:
        async def handle(self) -> None: ...

    assert taken_off(guarded) == ((retry, breaker), plain)
    assert taken_off(around) == ((), around)
    assert taken_off(plain) == ((), plain)
    guards, inner = taken_off(PolicyHandler(Handling, retry).handle)
    assert ([type(guard) for guard in guards], inner) == ([Policy], Handling.handle)
