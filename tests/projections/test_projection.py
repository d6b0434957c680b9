"""Projections: pure folds, each event's change exactly once, with the checkpoint."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.domain.applies import applies
from headwater.errors import SubscriptionFailedError, WiringError
from headwater.projections.projection import Folds, Projection
from tests.subscriptions.ledger import Balance, Booked, Closed, Exploded
from tests.subscriptions.workbench import Workbench


async def test_rows_are_what_the_events_add_up_to(bench: Workbench) -> None:
    chance = Random(7)
    expected: dict[str, int] = {}
    for _ in range(300):
        account, cents = str(chance.randrange(20)), chance.randrange(-100, 100)
        expected[account] = expected.get(account, 0) + cents
        await bench.book(account, cents)

    subscriptions = await bench.start(await bench.projection(page_events=37))
    await subscriptions.settle()

    for account, cents in expected.items():
        row = await bench.balance(account)
        assert row is not None
        assert row.cents == cents


async def test_a_method_that_returns_none_deletes_its_row(bench: Workbench) -> None:
    await bench.append("ledger-a", Booked("a", 5), Closed("a"))
    subscriptions = await bench.start(await bench.projection())
    await subscriptions.settle()
    assert await bench.balance("a") is None

    await bench.append("ledger-a", Booked("a", 7))
    await bench.append("ledger-a", Closed("a"), Booked("a", 9))
    await subscriptions.settle()

    row = await bench.balance("a")
    assert row is not None
    assert (row.cents, row.bookings) == (9, 1)


async def test_a_missing_row_is_an_error_unless_the_signature_allows_it(bench: Workbench) -> None:
    await bench.append("ledger-a", Closed("a"))
    subscriptions = await bench.start(await bench.projection())

    with pytest.raises(SubscriptionFailedError, match="needs row 'a', which does not exist"):
        await subscriptions.settle()


async def test_a_failure_keeps_the_good_prefix_of_every_partition(bench: Workbench) -> None:
    for account in "abcdefgh":
        await bench.book(account, 10)
    await bench.append("ledger-c", Exploded("c"))
    for account in "abcdefgh":
        await bench.book(account, 1)
    subscriptions = await bench.start(await bench.projection(partitions=64))

    with pytest.raises(SubscriptionFailedError, match="position 9: RuntimeError: boom at 10"):
        await subscriptions.settle()

    rows = {account: await bench.balance(account) for account in "abcdefgh"}
    cents = {account: row.cents for account, row in rows.items() if row is not None}
    assert cents == {**dict.fromkeys("abcdefgh", 11), "c": 10}


async def test_a_row_that_can_not_be_stored_fails_at_its_event(bench: Workbench) -> None:
    await bench.book("a", 1)
    await bench.append("ledger-a", Booked("a", 2**63 - 1))
    subscriptions = await bench.start(await bench.projection())

    with pytest.raises(SubscriptionFailedError, match="position 2: SerializationError"):
        await subscriptions.settle()

    row = await bench.balance("a")
    assert row is not None
    assert row.cents == 1


async def test_rows_can_live_in_another_database_than_the_log(
    bench: Workbench, tmp_path: Path
) -> None:
    elsewhere = SqliteStorage(tmp_path / "rows.db")
    await elsewhere.open()
    other = Workbench(bench.storage, target=elsewhere)
    for n in range(30):
        await bench.book(str(n % 3))
    subscriptions = await other.start(await other.projection())

    await subscriptions.settle()

    row = await other.balance("1")
    assert row == Balance("1", 10, 10, 29)
    await subscriptions.stop()
    opened = await elsewhere.open_subscription("balances", partitions=1, start_after=0)
    assert [checkpoint.position for checkpoint in opened] == [30] * 4
    await elsewhere.close()


async def test_rows_are_live_as_the_log_grows(bench: Workbench) -> None:
    subscriptions = await bench.start(await bench.projection())

    async def book_and_look(n: int) -> int:
        position = await bench.book("a", n)
        await subscriptions.wait_for("balances", position)
        row = await bench.balance("a")
        assert row is not None
        return row.bookings

    assert [await book_and_look(n) for n in range(20)] == list(range(1, 21))


async def test_two_workers_change_each_row_once(bench: Workbench) -> None:
    other = Workbench(bench.storage)
    first = await bench.start(await bench.projection(page_events=11))
    second = await other.start(await other.projection(page_events=7))

    await asyncio.gather(*(bench.book(str(n % 5)) for n in range(200)))
    await first.settle()
    await second.settle()
    await other.stop()

    for account in "01234":
        row = await bench.balance(account)
        assert row is not None
        assert (row.cents, row.bookings) == (40, 40)


def test_wiring_faults_of_a_projection_come_all_at_once() -> None:
    class Wrong(Projection[Balance]):
        @applies
        def no_row(self, event: Booked) -> Balance | None: ...

        @applies
        def wrong_row(self, event: Closed, row: int) -> Balance | None: ...

    with pytest.raises(WiringError) as raised:
        Folds(Wrong)

    text = str(raised.value)
    assert "no_row does not say what it takes" in text
    assert "wrong_row takes a row of" in text
    assert __file__ in text
