"""Work runs until it is committed: again after a conflict, once per message id."""

import asyncio
from uuid import UUID, uuid4

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ConcurrencyError, IdempotencyConflictError
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.serialization.codec import EventCodec
from headwater.serialization.registry import TypeRegistry
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Idempotency, Units
from tests.unit_of_work.shop import Account
from tests.unit_of_work.test_repository import balance, deposit, opened


async def test_a_conflict_runs_the_work_again_in_a_fresh_unit(units: Units) -> None:
    await opened(units)
    seen: list[UnitOfWork] = []

    async def work(unit: UnitOfWork) -> int:
        account = await unit.repository(Account).get("7")
        if not seen:
            await units.run(lambda other: deposit(other, "7", 10))
        seen.append(unit)
        account.deposit(1)
        return account.cents

    done = await units.run(work)

    assert done.result == 111
    assert len({id(unit) for unit in seen}) == 2


async def test_after_the_last_rerun_the_conflict_is_raised(storage: MemoryStorage) -> None:
    units = Units(storage, codec=EventCodec(TypeRegistry()), conflict_reruns_max=2)
    await opened(units)
    tries = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        await deposit(unit, "7")
        other = Append("app.account-7", ExpectedVersion.ANY, (deposited(),))
        await storage.commit(Changes((other,)))

    with pytest.raises(ConcurrencyError):
        await units.run(work)

    assert tries == 3


def deposited() -> NewEvent:
    return NewEvent(uuid4().bytes, "app.deposited", 1, '{"cents":5}', 0)


async def test_two_hundred_contenders_for_one_stream_all_get_their_turn(units: Units) -> None:
    await opened(units, cents=1)
    tries = 0

    async def work(unit: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        await deposit(unit, "7")

    await asyncio.gather(*(units.run(work) for _ in range(200)))

    assert await balance(units) == 201
    assert tries <= 600


async def test_a_nested_run_inside_the_line_does_not_wait_for_itself(units: Units) -> None:
    await opened(units)

    async def inner(unit: UnitOfWork) -> None:
        await deposit(unit, "7")

    async def outer(unit: UnitOfWork) -> None:
        await deposit(unit, "7")
        if not inside:
            inside.append(1)
            await units.run(inner)
        elif len(inside) == 1:
            inside.append(2)
            await units.run(inner)

    inside: list[int] = []
    async with asyncio.timeout(10):
        await units.run(outer)

    assert await balance(units) == 103


class TestOnce:
    """Idempotent work."""

    @staticmethod
    def once(message: str, id: str = "1" * 32) -> Idempotency[int]:
        return Idempotency("app.deposit", UUID(id), message.encode(), str, int)

    async def test_a_repeated_message_gets_the_stored_outcome(self, units: Units) -> None:
        await opened(units)
        runs = 0

        async def work(unit: UnitOfWork) -> int:
            nonlocal runs
            runs += 1
            await deposit(unit, "7")
            return 41 + runs

        first = await units.run(work, once=self.once("a"))
        second = await units.run(work, once=self.once("a"))

        assert (first.result, second.result, runs) == (42, 42, 1)
        assert second.repeated
        assert second.committed.position == first.committed.position == 3

    async def test_racing_duplicates_have_one_effect_and_one_outcome(self, units: Units) -> None:
        await opened(units)
        runs = 0

        async def work(unit: UnitOfWork) -> int:
            nonlocal runs
            runs += 1
            mine = runs
            await deposit(unit, "7")
            return mine

        done = await asyncio.gather(*(units.run(work, once=self.once("a")) for _ in range(20)))

        assert len({each.result for each in done}) == 1
        assert await balance(units) == 101

    async def test_another_message_under_a_used_id_is_refused(self, units: Units) -> None:
        await opened(units)

        async def work(unit: UnitOfWork) -> int:
            await deposit(unit, "7")
            return 1

        await units.run(work, once=self.once("a"))

        with pytest.raises(IdempotencyConflictError):
            await units.run(work, once=self.once("b"))

    async def test_work_that_raises_leaves_no_receipt(self, units: Units) -> None:
        await opened(units)

        async def fails(_unit: UnitOfWork) -> int:
            raise RuntimeError("not now")

        async def works(unit: UnitOfWork) -> int:
            await deposit(unit, "7")
            return 7

        with pytest.raises(RuntimeError):
            await units.run(fails, once=self.once("a"))

        assert (await units.run(works, once=self.once("a"))).result == 7


class TestAfterCommit:
    """Callbacks wait for the commit."""

    async def test_callbacks_run_after_the_commit_in_order(
        self, units: Units, storage: MemoryStorage
    ) -> None:
        seen: list[tuple[str, int]] = []

        async def note(name: str) -> None:
            seen.append((name, await storage.head()))

        async with units.unit_of_work() as unit:
            unit.repository(Account).add(Account.open("7", "Ada"))
            unit.after_commit(lambda: note("first"))
            unit.after_commit(lambda: note("second"))
            assert seen == []

        assert seen == [("first", 1), ("second", 1)]

    async def test_a_failing_callback_is_reported_and_not_raised(
        self, storage: MemoryStorage
    ) -> None:
        reported: list[str] = []
        units = Units(
            storage,
            codec=EventCodec(TypeRegistry()),
            on_error=lambda where, error: reported.append(f"{where}: {error}"),
        )

        async def fails() -> None:
            raise RuntimeError("mail is down")

        async def work(unit: UnitOfWork) -> int:
            unit.after_commit(fails)
            return 1

        assert (await units.run(work)).result == 1
        assert reported == ["after_commit: mail is down"]

    async def test_a_rerun_drops_the_callbacks_of_the_failed_try(self, units: Units) -> None:
        await opened(units)
        called: list[int] = []
        tries = 0

        async def note(number: int) -> None:
            called.append(number)

        async def work(unit: UnitOfWork) -> None:
            nonlocal tries
            tries += 1
            mine = tries
            unit.after_commit(lambda: note(mine))
            await deposit(unit, "7")
            if mine == 1:
                await units.run(lambda other: deposit(other, "7"))

        await units.run(work)

        assert called == [2]
