"""Units of work around messages: one commit at the outermost, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any
from uuid import UUID

import pytest

from headwater.adapters.container.instances import Instances
from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import (
    AggregateNotFoundError,
    ConcurrencyError,
    ConfigurationError,
    IdempotencyConflictError,
    NestedExecuteError,
    UnitOfWorkError,
)
from headwater.event_store import EventStore
from headwater.ids import new_id
from headwater.mediator import Handlers, Mediator, Next, Publisher, Sender, Strategy
from headwater.mediator.behaviours import QueryCache
from headwater.metadata import current_context, message_context
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units
from tests.mediator.bank import (
    Account,
    Ask,
    Balance,
    Changed,
    Deposit,
    Deposited,
    GetCents,
    ListCents,
    Summarize,
    Summary,
    Transfer,
)

Accounts = Repository[Account]

TOGETHER = (
    Strategy.PARALLEL,
    Strategy.SEQUENTIAL,
    Strategy.STOP_ON_FAILURE,
    Strategy.CANCEL_SIBLINGS,
)


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


# -------------------------------------------------------------------------------- nesting


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


# ------------------------------------------------------------------------------- queries


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


# --------------------------------------------------------------------------- idempotency


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


# ---------------------------------------------------------------------------- publishing


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


async def deposits_into_b(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "b")).deposit(2)


async def deposits_into_c(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "c")).deposit(3)


async def deposits_into_a(event: Changed, accounts: Accounts) -> None:
    into = await account(accounts, "a")
    assert into.cents == 1
    into.deposit(4)


async def fails(event: Changed, accounts: Accounts) -> None:
    (await account(accounts, "d")).deposit(5)
    raise HandlerFailedError("fails")


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


# ------------------------------------------------------------------------------ contexts


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
