"""``status``: how all subscriptions fare, with an exit code that says whether to look closer."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from headwater.operations.control import pause
from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_row,
)
from headwater.ports.changes import Changes, CheckpointMove
from tests.cli.conftest import Shop

APP = ("--app", "clishop:shop")
MAIL = "sales.send-mail"
AT_ONCE = ("--sample", "0")


async def run_some(shop: Shop, *, mail_at: int = 5) -> None:
    """Let a worker have the mail at *mail_at* and the reports at 5, which is the end."""
    async with AsyncExitStack() as opened:
        for file, name, at in (("reports.db", "sales.summaries", 5), ("log.db", MAIL, mail_at)):
            storage = shop.storage(file)
            await storage.open()
            opened.push_async_callback(storage.close)
            await storage.open_subscription(name, partitions=2, start_after=0)
            moves = tuple(CheckpointMove(name, partition, 0, at) for partition in range(2))
            await storage.commit(Changes(checkpoints=moves))
            await storage.lease_partitions("host:1:a", [name], seconds=3600)


async def have_a_dead_letter(shop: Shop) -> None:
    storage = shop.storage()
    await storage.open()
    await storage.prepare_collections([DELIVERIES])
    dead = HeldDelivery(MAIL, "k", 2, "", "s-1", "t", DeliveryState.DEAD, 0)
    await storage.commit(Changes(rows=(delivery_row(dead),)))
    await storage.close()


async def pause_mail(shop: Shop) -> None:
    storage = shop.storage()
    await storage.open()
    await pause(storage, MAIL, by="kim", reason="a new server")
    await storage.close()


def test_all_that_is_well_is_told_and_the_exit_code_is_0(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("--json", "status", *APP, *AT_ONCE)

    assert ran.code == 0
    assert [
        (row["storage"], row["subscription"], row["state"], row["lag"]) for row in ran.rows
    ] == [
        ("log", MAIL, "live", 0),
        ("reports", "sales.summaries", "live", 0),
    ]
    assert ran.rows[0]["workers"] == {"host:1:a": 2}
    assert ran.rows[0]["owners"] == ["host:1:a", "host:1:a"]


def test_people_get_a_table(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("status", *APP, *AT_ONCE)

    assert "lag seconds" in ran.out
    assert "sales.send-mail" in ran.out
    assert all(len(line) < 100 for line in ran.out.splitlines())


def test_no_app_is_needed(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("--json", "status", shop.url, *AT_ONCE)

    assert (ran.code, ran.object["subscription"]) == (0, MAIL)


@pytest.mark.parametrize(("limit", "state", "code"), [("0", "stalled", 1), ("3600", "live", 0)])
def test_one_that_is_behind_and_does_not_move_is_stalled_from_its_limit_on(
    shop: Shop, *, limit: str, state: str, code: int
) -> None:
    asyncio.run(run_some(shop, mail_at=3))

    ran = shop.run("--json", "status", shop.url, *AT_ONCE, "--stalled-after", limit)

    assert (ran.code, ran.object["state"], ran.object["lag"]) == (code, state, 2)


def test_one_that_was_never_run_is_found(shop: Shop) -> None:
    ran = shop.run("--json", "status", *APP, *AT_ONCE)

    assert ran.code == 1
    assert {row["problem"] for row in ran.rows} == {"it was never run"}


def test_a_dead_letter_is_found(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    asyncio.run(have_a_dead_letter(shop))

    ran = shop.run("--json", "status", shop.url, *AT_ONCE)

    assert (ran.code, ran.object["dead"], ran.object["parked_keys"]) == (1, 1, 1)


def test_one_that_is_paused_is_well_and_says_why(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    asyncio.run(pause_mail(shop))

    ran = shop.run("--json", "status", shop.url, *AT_ONCE)

    assert (ran.code, ran.object["state"]) == (0, "paused")
    assert "kim: a new server" in ran.object["problem"]


def test_dead_letters_are_told_to_people_with_the_command_that_lists_them(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    asyncio.run(have_a_dead_letter(shop))

    ran = shop.run("status", *APP, *AT_ONCE)

    assert "1 dead" in ran.out
    assert f"headwater dlq list --subscription {MAIL}" in ran.out
