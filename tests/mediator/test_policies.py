"""Policies on handlers: each attempt in a unit of work of its own, one commit after them."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, ParamSpec, TypeVar, cast

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import StorageUnavailableError, WiringError
from headwater.mediator import Handlers, Mediator, Next, Publisher, Sender, handles, hears
from headwater.mediator.scanning import MARKS_ATTRIBUTE
from headwater.resilience import Fallback, Guard, Policy
from headwater.unit_of_work.unit import CURRENT_UNIT, UnitOfWork
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import Accounts, HandlerFailedError, account, conflicting, log
from tests.mediator.bank import Ask, Deposit, Deposited, GetCents, ListCents, Transfer
from tests.mediator.sessions import Session, sessions
from tests.mediator.tries import Tries

P = ParamSpec("P")
T = TypeVar("T")


def failing_first(times: int, tries: Tries) -> Handlers:
    """Return a table in which a deposit fails that often after it was collected."""
    table, left = Handlers(), [times]

    @table.handler(policy=tries)
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        account_of = await account(accounts, command.account)
        account_of.deposit(command.cents)
        left[0] -= 1
        if left[0] >= 0:
            raise HandlerFailedError
        return account_of.cents

    return table


async def test_what_failed_attempts_collected_is_dropped(
    units: Units, storage: MemoryStorage
) -> None:
    tries = Tries()

    assert await Mediator(failing_first(2, tries), units=units).send(Deposit("a", 5)) == 5

    assert await log(storage) == [("a", 5)]
    assert tries.calls == 3
    assert all("deposit" in name for name in tries.names)


async def test_when_the_policy_gives_up_its_error_comes_out_and_nothing_is_written(
    units: Units, storage: MemoryStorage
) -> None:
    tries = Tries()

    with pytest.raises(HandlerFailedError):
        await Mediator(failing_first(3, tries), units=units).send(Deposit("a"))

    assert await log(storage) == []
    assert tries.calls == 3


async def test_a_conflict_runs_the_unit_again_and_the_policy_does_not_hear_of_it(
    units: Units, storage: MemoryStorage
) -> None:
    tries, table, runs = Tries(), Handlers(), list[int]()

    @table.handler(policy=tries)
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        to = await account(accounts, command.account)
        runs.append(1)
        if len(runs) == 1:
            await conflicting(units, command.account)
        to.deposit(command.cents)
        return to.cents

    assert await Mediator(table, units=units).send(Deposit("a", 5)) == 6

    assert len(runs) == 2
    assert tries.failures == []


async def test_what_the_storage_raises_passes_the_policy_by(units: Units) -> None:
    tries, table = Tries(), Handlers()

    @table.handler(policy=tries)
    async def deposit(command: Deposit) -> int:
        raise StorageUnavailableError("away")

    with pytest.raises(StorageUnavailableError, match="away") as raised:
        await Mediator(table, units=units).send(Deposit("a"))

    assert tries.failures == []
    assert raised.value.__cause__ is None


async def test_what_the_storage_raises_in_a_group_passes_the_policy_by_too(units: Units) -> None:
    tries, table = Tries(), Handlers()

    @table.handler(policy=tries)
    async def deposit(command: Deposit) -> int:
        raise ExceptionGroup("publish", [HandlerFailedError(), StorageUnavailableError("away")])

    with pytest.raises(ExceptionGroup, match="publish"):
        await Mediator(table, units=units).send(Deposit("a"))

    assert tries.failures == []


class Checked:
    """Refuses what is below 8, so that a policy around it tries again."""

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        result = await function(*args, **kwargs)
        if isinstance(result, int) and result < 8:
            raise HandlerFailedError
        return result


class Twice:
    """Calls twice, one after the other, and returns the *better* result: the first, or the last."""

    def __init__(self, better: int) -> None:
        self._better = better

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        results = [await function(*args, **kwargs), await function(*args, **kwargs)]
        return results[self._better]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Policy(Tries(), Checked()), 8),
        (Twice(0), 6),
        (Twice(-1), 7),
        (Policy(Fallback(lambda _: 0), Checked()), None),
        (Policy(Fallback(lambda _: 0), Tries(2), Checked()), None),
    ],
)
async def test_of_several_attempts_that_end_well_one_is_kept_whose_result_is_returned(
    units: Units, storage: MemoryStorage, policy: Guard, kept: int | None
) -> None:
    table, cents = Handlers(), count(6)

    @table.handler(policy=policy)
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        to = await account(accounts, command.account)
        to.deposit(next(cents))
        return to.cents

    returned = await Mediator(table, units=units).send(Deposit("a"))

    assert returned == (kept or 0)
    assert await log(storage) == ([] if kept is None else [("a", kept)])


async def test_a_result_that_a_guard_changes_keeps_the_last_attempt(
    units: Units, storage: MemoryStorage
) -> None:
    class Doubled:
        async def call(
            self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
        ) -> T:
            result: Any = await function(*args, **kwargs)
            return cast("T", result * 1000)

    table = Handlers()

    @table.handler(policy=Doubled())
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        (await account(accounts, command.account)).deposit(5)
        return 5

    assert await Mediator(table, units=units).send(Deposit("a")) == 5000
    assert await log(storage) == [("a", 5)]


async def test_a_nested_message_under_a_policy_does_not_spoil_the_unit_around_it(
    units: Units, storage: MemoryStorage
) -> None:
    table = failing_first(1, Tries())

    @table.handler
    async def transfer(command: Transfer, sender: Sender, unit: UnitOfWork) -> None:
        await sender.send(Deposit(command.source, -1))
        await sender.send(Deposit(command.target, 1))

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert await log(storage) == [("a", -1), ("b", 1)]


async def test_a_query_under_a_policy_reads_again(units: Units) -> None:
    tries, table, units_seen = Tries(), Handlers(), list[object]()

    @table.handler(policy=tries)
    async def cents(query: GetCents, accounts: Accounts) -> int:
        units_seen.append(CURRENT_UNIT.get())
        if len(units_seen) == 1:
            raise HandlerFailedError
        return 7

    assert await Mediator(table, units=units).send(GetCents("a")) == 7
    assert len({id(unit) for unit in units_seen}) == 2


async def test_behaviours_of_order_0_and_above_run_with_each_attempt_those_below_once() -> None:
    tries, table, ran = Tries(), Handlers(), list[str]()

    @table.behaviour(order=-1)
    async def outside(message: Ask, next: Next[Any, Any]) -> Any:
        ran.append("outside")
        return await next(message)

    @table.behaviour
    async def inside(message: Ask, next: Next[Any, Any]) -> Any:
        ran.append("inside")
        return await next(message)

    @table.handler(policy=tries)
    async def ask(query: Ask) -> int:
        if len(ran) < 3:
            raise HandlerFailedError
        return 1

    assert await Mediator(table).send(Ask()) == 1
    assert ran == ["outside", "inside", "inside"]


@pytest.mark.parametrize("with_units", [True, False])
async def test_each_attempt_has_a_request_scope_of_its_own(
    *, with_units: bool, units: Units
) -> None:
    container, made = sessions()
    table, seen = Handlers(), list[int]()

    @table.handler(policy=Tries())
    async def ask(query: Ask, session: Session) -> int:
        seen.append(session.number)
        if len(seen) < 3:
            raise HandlerFailedError
        return session.number

    mediator = Mediator(table, container=container, units=units if with_units else None)

    assert await mediator.send(Ask()) == 2
    assert seen == [0, 1, 2]
    assert all(session.closed for session in made.made)


@pytest.mark.parametrize("inline", [True, False])
async def test_a_def_is_called_again_too(*, inline: bool, units: Units) -> None:
    table, calls = Handlers(), list[int]()

    @table.handler(policy=Tries(), inline=inline)
    def ask(query: Ask) -> int:
        calls.append(1)
        if len(calls) < 3:
            raise HandlerFailedError
        return len(calls)

    assert await Mediator(table, units=units).send(Ask()) == 3


async def test_a_policy_around_a_class_is_one_for_all_its_methods(units: Units) -> None:
    tries, table = Tries(1), Handlers()

    @table.handler(policy=tries)
    class Bank:
        async def handle_ask(self, query: Ask) -> int:
            return 1

        async def handle_cents(self, query: GetCents) -> int:
            return 2

    mediator = Mediator(table, units=units)

    assert (await mediator.send(Ask()), await mediator.send(GetCents("a"))) == (1, 2)
    assert tries.calls == 2


@pytest.mark.parametrize("after_commit", [True, False])
async def test_a_listener_under_a_policy_hears_again(
    *, units: Units, storage: MemoryStorage, after_commit: bool
) -> None:
    table, heard = Handlers(), list[int]()

    @table.on(policy=Tries(), after_commit=after_commit)
    async def deposited(event: Deposited, accounts: Accounts) -> None:
        (await account(accounts, "heard")).deposit(event.cents)
        heard.append(event.cents)
        if len(heard) < 3:
            raise HandlerFailedError

    @table.handler
    async def ask(query: Deposit, publisher: Publisher) -> int:
        await publisher.publish(Deposited(4))
        return 1

    assert await Mediator(table, units=units).send(Deposit("a")) == 1
    assert heard == [4, 4, 4]
    assert await log(storage) == [("heard", 4)]


async def test_cancellation_passes_the_policy_and_nothing_is_written(
    units: Units, storage: MemoryStorage
) -> None:
    tries, table, begun = Tries(), Handlers(), asyncio.Event()

    @table.handler(policy=tries)
    async def deposit(command: Deposit, accounts: Accounts) -> int:
        (await account(accounts, command.account)).deposit(1)
        begun.set()
        await asyncio.Event().wait()
        return 0

    task = asyncio.create_task(Mediator(table, units=units).send(Deposit("a")))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert tries.failures == []
    assert await log(storage) == []


def test_what_can_not_be_a_policy_is_a_fault_with_the_advice() -> None:
    table = Handlers()

    the_class_itself: Any = Tries

    @table.handler(policy=the_class_itself)
    async def the_class(query: Ask) -> int:
        return 1

    no_object: Any = 3

    @table.on(policy=no_object)
    async def no_policy(event: Deposited) -> None: ...

    @table.handler(policy=Tries())
    async def stream(query: ListCents) -> Any:
        yield 1

    with pytest.raises(WiringError) as told:
        Mediator(table)

    faults = {fault.problem: fault.advice for fault in told.value.faults}
    texts = [f"{problem} {advice}" for problem, advice in faults.items()]
    for wanted in (
        r"is the class Tries, not an object. Make one: policy=Tries().",
        r"is 3, which has no method 'call'. Give one of headwater.resilience, such as Policy(",
        r"yields its answer as it goes, and what was yielded can't be tried again.",
    ):
        assert any(wanted in text for text in texts), (wanted, texts)


async def test_marks_take_a_policy_too(units: Units) -> None:
    tries, table, calls = Tries(), Handlers(), list[str]()

    @handles(policy=tries)
    async def ask(query: Ask) -> int:
        calls.append("ask")
        if calls.count("ask") < 2:
            raise HandlerFailedError
        return 1

    @hears(policy=tries)
    async def deposited(event: Deposited) -> None:
        calls.append("heard")
        if calls.count("heard") < 2:
            raise HandlerFailedError

    for target in (ask, deposited):
        for apply in getattr(target, MARKS_ATTRIBUTE):
            apply(table, target)
    mediator = Mediator(table, units=units)

    assert await mediator.send(Ask()) == 1
    await mediator.publish(Deposited(1))
    assert calls == ["ask", "ask", "heard", "heard"]
