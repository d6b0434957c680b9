"""``subscription drop-types``: the way out after newer code was rolled back for good."""

import asyncio

from headwater.operations.control import read_control, write_control
from tests.cli.conftest import Shop

APP = ("--app", "clishop:shop")
DROP = ("subscription", "drop-types", "sales.summaries", "sales.order-split")


async def bind(shop: Shop) -> None:
    """Have newer code want one type more of the reports."""
    reports = shop.storage("reports.db")
    await reports.open()
    types = {"sales.order-placed": 1, "sales.order-split": 1}
    await write_control(reports, "sales.summaries", types=types)
    await reports.close()


async def bound(shop: Shop) -> set[str]:
    reports = shop.storage("reports.db")
    await reports.open()
    stored = await read_control(reports, "sales.summaries")
    await reports.close()
    return set(stored.types)


def test_types_are_dropped_after_a_confirmation(shop: Shop) -> None:
    asyncio.run(bind(shop))

    unconfirmed = shop.run(*DROP, *APP)
    before = asyncio.run(bound(shop))
    ran = shop.run("--json", *DROP, *APP, "--yes")

    assert (unconfirmed.code, before) == (3, {"sales.order-placed", "sales.order-split"})
    assert (ran.code, ran.object["left"]) == (0, "sales.order-placed")
    assert asyncio.run(bound(shop)) == {"sales.order-placed"}


def test_a_subscription_or_type_that_is_not_there_is_refused(shop: Shop) -> None:
    never = shop.run(*DROP, *APP, "--yes")
    asyncio.run(bind(shop))
    subscription = shop.run("subscription", "drop-types", "sales.mail", "x", *APP, "--yes")
    type = shop.run("subscription", "drop-types", "sales.summaries", "x", *APP, "--yes")

    assert (never.code, subscription.code, type.code) == (2, 2, 2)
    assert "there are: (none)" in never.err
    assert "sales.summaries" in subscription.err
    assert "sales.order-placed" in type.err
