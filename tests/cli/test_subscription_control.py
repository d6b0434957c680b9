"""``subscription pause``, ``resume``, ``restart`` and ``repartition``."""

import asyncio

import msgspec

from headwater.operations.control import CONTROL_ROWS, read_control, write_control
from headwater.operations.projections.generations import (
    GENERATIONS,
    Generation,
    Generations,
    GenerationState,
    write_generations,
)
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


async def switched(shop: Shop) -> None:
    """Store a second generation as the live one."""
    reports = shop.storage("reports.db")
    await reports.open()
    await reports.prepare_collections([GENERATIONS])
    await reports.open_subscription(f"{NAME}@2", partitions=4, start_after=0)
    await write_control(reports, NAME, retired=True)
    old = Generation(1, 1, "", "summaries", NAME, GenerationState.OLD, 0)
    live = msgspec.structs.replace(
        old, number=2, subscription=f"{NAME}@2", state=GenerationState.LIVE
    )
    await write_generations(reports, Generations(NAME, "summaries").having(old, live))
    await reports.close()


def test_a_restart_means_the_live_rows_of_a_projection(shop: Shop) -> None:
    asyncio.run(opened(shop, 4))

    before = shop.run("--json", "subscription", "restart", NAME, *APP)
    asyncio.run(switched(shop))
    by_projection = shop.run("--json", "subscription", "restart", NAME, *APP)
    by_name = shop.run("--json", "subscription", "restart", f"{NAME}@2", *APP)
    unknown = shop.run("subscription", "restart", "sales.nobody", *APP)

    assert (before.code, before.object["subscription"]) == (0, NAME)
    assert (by_projection.code, by_projection.object["subscription"]) == (0, f"{NAME}@2")
    assert (by_name.code, by_name.object["subscription"]) == (0, f"{NAME}@2")
    assert unknown.code == 2


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
