"""``subscription pause``, ``resume`` and ``repartition``."""

import asyncio

from headwater.operations.control import CONTROL_ROWS, read_control
from tests.cli.conftest import Shop

APP = ("--app", "clishop:shop")
NAME = "sales.summaries"


async def opened(shop: Shop, partitions: int) -> None:
    """Store the reports' subscription, as a worker does."""
    reports = shop.storage("reports.db")
    await reports.open()
    await reports.open_subscription(NAME, partitions=partitions, start_after=0)
    await reports.close()


async def stored(shop: Shop) -> tuple[int, bool, str]:
    """Return how many partitions there are, whether they are paused, and why."""
    reports = shop.storage("reports.db")
    await reports.open()
    await reports.prepare_collections([CONTROL_ROWS])
    states = await reports.partition_states(NAME)
    control = await read_control(reports, NAME)
    await reports.close()
    return len(states), control.paused, control.reason


def test_a_subscription_is_paused_with_a_reason_and_resumed(shop: Shop) -> None:
    asyncio.run(opened(shop, 4))

    paused = shop.run("--json", "subscription", "pause", NAME, "--reason", "the move", *APP)
    meanwhile = asyncio.run(stored(shop))
    resumed = shop.run("--json", "subscription", "resume", NAME, *APP)

    assert (paused.code, paused.object["paused"]) == (0, True)
    assert meanwhile == (4, True, "the move")
    assert (resumed.code, asyncio.run(stored(shop))) == (0, (4, False, ""))


def test_one_that_is_drained_gets_other_partitions_after_a_confirmation(shop: Shop) -> None:
    asyncio.run(opened(shop, 4))

    unconfirmed = shop.run("subscription", "repartition", NAME, "9", *APP)
    before = asyncio.run(stored(shop))
    ran = shop.run("--json", "subscription", "repartition", NAME, "9", *APP, "--yes")

    assert (unconfirmed.code, before[0]) == (3, 4)
    assert (ran.code, ran.object["partitions"]) == (0, 9)
    assert asyncio.run(stored(shop))[0] == 9


def test_what_was_never_run_is_refused(shop: Shop) -> None:
    ran = shop.run("subscription", "pause", "sales.nobody", *APP)

    assert ran.code == 2
    assert "'sales.nobody'" in ran.err
