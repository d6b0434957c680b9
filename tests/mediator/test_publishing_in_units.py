"""What is published inside a handler: in its unit of work, apart from it, or after the commit."""

from typing import Any

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    ConcurrencyError,
    UnitOfWorkError,
)
from headwater.mediator import Handlers, Mediator, Next, Publisher, Sender, Strategy
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.units import Units
from tests.mediator.accounts import (
    Accounts,
    HandlerFailedError,
    account,
    conflicting,
    fails,
    log,
    publishing,
)
from tests.mediator.bank import (
    Changed,
    Deposit,
    GetCents,
    Summarize,
    Summary,
    Transfer,
)

TOGETHER = (
    Strategy.PARALLEL,
    Strategy.SEQUENTIAL,
    Strategy.STOP_ON_FAILURE,
    Strategy.CANCEL_SIBLINGS,
)


async def deposits_into_b(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "b")).deposit(2)


async def deposits_into_c(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "c")).deposit(3)


async def deposits_into_a(event: Changed, accounts: Accounts) -> None:
    into = await account(accounts, "a")
    assert into.cents == 1
    into.deposit(4)


@pytest.mark.parametrize(
    "strategy", [Strategy.PARALLEL, Strategy.SEQUENTIAL, Strategy.CANCEL_SIBLINGS]
)
async def test_handlers_join_the_publishers_unit(
    strategy: Strategy, units: Units, storage: MemoryStorage
) -> None:
    table = publishing(deposits_into_b, deposits_into_c, deposits_into_a, strategy=strategy)

    await Mediator(table, units=units).send(Transfer("a", "b"))

    assert sorted(await log(storage)) == [("a", 1), ("a", 4), ("b", 2), ("c", 3)]


async def test_a_publish_outside_of_any_unit_has_one_of_its_own(
    units: Units, storage: MemoryStorage
) -> None:
    table = publishing(deposits_into_b, deposits_into_c)
    await Mediator(table, units=units).publish(Changed("a"))
    assert await log(storage) == [("b", 2), ("c", 3)]

    table = publishing(deposits_into_b, fails)
    with pytest.raises(ExceptionGroup):
        await Mediator(table, units=units).publish(Changed("a"))
    assert await log(storage) == [("b", 2), ("c", 3)]


async def test_parallel_handlers_must_not_write_the_same_stream(
    units: Units, storage: MemoryStorage
) -> None:
    async def also_into_b(event: Changed, accounts: Accounts) -> None:
        await deposits_into_b(event, accounts)

    table = publishing(deposits_into_b, also_into_b)
    with pytest.raises(UnitOfWorkError, match="two handlers that ran in parallel"):
        await Mediator(table, units=units).send(Transfer("a", "b"))
    assert await log(storage) == []

    table = publishing(deposits_into_b, also_into_b, strategy=Strategy.SEQUENTIAL)
    await Mediator(table, units=units).send(Transfer("a", "b"))
    assert sorted(await log(storage)) == [("a", 1), ("b", 2), ("b", 2)]


async def test_a_failed_handler_leaves_nothing_committed(
    units: Units, storage: MemoryStorage
) -> None:
    mediator = Mediator(publishing(deposits_into_b, fails), units=units)

    with pytest.raises(ExceptionGroup):
        await mediator.send(Transfer("a", "b"))

    assert await log(storage) == []


class ConflictingListener:
    """Meets a conflict in the first runs: what a query of it reads, it has read otherwise."""

    def __init__(self, units: Units, *, times: int) -> None:
        self.units, self.times, self.runs = units, times, 0

    async def hears(self, event: Changed, accounts: Accounts, sender: Sender) -> None:
        self.runs += 1
        found = await account(accounts, "b")
        if self.runs <= self.times:
            await conflicting(self.units, "b")
            await sender.send(GetCents("b"))
        found.deposit(2)


@pytest.mark.parametrize("published_in_a_command", [True, False])
@pytest.mark.parametrize("strategy", list(TOGETHER))
async def test_a_conflict_that_a_handler_met_runs_the_outermost_again(
    *, published_in_a_command: bool, strategy: Strategy, units: Units, storage: MemoryStorage
) -> None:
    listener = ConflictingListener(units, times=1)
    mediator = Mediator(publishing(listener.hears, strategy=strategy), units=units)
    if published_in_a_command:
        await mediator.send(Transfer("a", "b"))
    else:
        await mediator.publish(Changed("a"), strategy=strategy)

    assert listener.runs == 2
    written = [("a", 1)] if published_in_a_command else []
    assert await log(storage) == [("b", 1), *written, ("b", 2)]


async def test_a_conflict_among_other_failures_comes_first(units: Units) -> None:
    listener = ConflictingListener(units, times=1)
    mediator = Mediator(publishing(fails, listener.hears), units=units)
    with pytest.raises(ExceptionGroup) as failed:
        await mediator.send(Transfer("a", "b"))

    assert listener.runs == 2
    assert [type(error) for error in failed.value.exceptions] == [HandlerFailedError]


async def test_a_conflict_that_does_not_end_is_raised_with_what_failed_beside_it(
    units: Units,
) -> None:
    listener = ConflictingListener(units, times=1000)

    with pytest.raises(ConcurrencyError) as failed:
        await Mediator(publishing(fails, listener.hears), units=units).send(Transfer("a", "b"))

    assert "2 handlers of Changed failed" in str(failed.value.__cause__)


async def test_a_conflict_of_another_unit_stays_among_the_failures(units: Units) -> None:
    runs: list[str] = []

    async def meets_a_conflict(event: Changed) -> None:
        runs.append("run")
        raise ConcurrencyError("other.thing-b", expected=ExpectedVersion.exactly(1), actual=2)

    with pytest.raises(ExceptionGroup):
        await Mediator(publishing(meets_a_conflict), units=units).send(Transfer("a", "b"))

    assert runs == ["run"]


@pytest.mark.parametrize("strategy", [Strategy.ISOLATED, Strategy.BACKGROUND])
async def test_isolated_and_background_handlers_run_after_the_commit_in_units_of_their_own(
    strategy: Strategy, units: Units, storage: MemoryStorage
) -> None:
    errors: list[str] = []
    before: list[Any] = []

    async def looks(event: Changed) -> None:
        before.append(await log(storage))

    table = publishing(looks, fails, deposits_into_b, strategy=strategy)
    mediator = Mediator(
        table, units=units, on_error=lambda error, message, name: errors.append(str(error))
    )
    await mediator.send(Transfer("a", "b"))
    await mediator.aclose()

    assert before[0][0] == ("a", 1)
    assert errors == ["fails"]
    assert await log(storage) == [("a", 1), ("b", 2)]


async def test_isolated_handlers_dont_run_if_there_is_no_commit(
    units: Units, storage: MemoryStorage
) -> None:
    table = publishing(deposits_into_b, strategy=Strategy.ISOLATED)

    @table.behaviour
    async def refuses(message: Transfer, next: Next[Transfer, None]) -> None:
        await next(message)
        raise HandlerFailedError

    with pytest.raises(HandlerFailedError):
        await Mediator(table, units=units).send(Transfer("a", "b"))

    assert await log(storage) == []


@pytest.mark.parametrize("registered", [True, False])
async def test_after_commit_waits_for_the_outermost_commit(
    *, registered: bool, units: Units, storage: MemoryStorage
) -> None:
    seen: list[Any] = []
    table = publishing(after_commit=not registered)

    async def looks(event: Changed) -> None:
        seen.append(await log(storage))

    table.on(after_commit=registered)(looks)

    @table.handler
    async def outer(command: Summarize, sender: Sender) -> Summary:
        await sender.send(Transfer("a", "b"))
        seen.append("before")
        return Summary((), 0)

    await Mediator(table, units=units).send(Summarize(()))

    assert seen == ["before", [("a", 1)]]


async def test_after_commit_is_dropped_by_a_rerun_and_by_a_failure(units: Units) -> None:
    seen: list[str] = []
    runs = 0
    table = Handlers()

    @table.handler
    async def deposit(command: Deposit, accounts: Accounts, publisher: Publisher) -> int:
        nonlocal runs
        runs += 1
        (await account(accounts, "a")).deposit(1)
        await publisher.publish(Changed(str(runs)), after_commit=True)
        if command.cents == 0:
            raise HandlerFailedError
        if runs == 1:
            await conflicting(units, "a")
        return 0

    @table.on
    async def hears(event: Changed) -> None:
        seen.append(event.account)

    mediator = Mediator(table, units=units)
    await mediator.send(Deposit("a"))
    assert seen == ["2"]
    with pytest.raises(HandlerFailedError):
        await mediator.send(Deposit("a", 0))
    assert seen == ["2"]


async def test_failures_after_the_commit_are_reported_never_raised(
    units: Units, storage: MemoryStorage
) -> None:
    errors: list[Exception] = []
    mediator = Mediator(
        publishing(fails, after_commit=True),
        units=units,
        on_error=lambda error, message, name: errors.append(error),
    )

    await mediator.send(Transfer("a", "b"))

    assert [type(error) for error in errors] == [ExceptionGroup]
    assert await log(storage) == [("a", 1)]


async def test_after_commit_without_a_unit_of_work_is_now() -> None:
    seen: list[str] = []
    table = Handlers()

    @table.on
    async def hears(event: Changed) -> None:
        seen.append(event.account)

    await Mediator(table).publish(Changed("a"), after_commit=True)

    assert seen == ["a"]
