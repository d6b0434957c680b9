"""``db recover`` and ``db prune``."""

import asyncio

from headwater.ports.changes import Changes, CheckpointMove, NewReceipt, RowChange
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import id_bytes
from tests.cli.conftest import Shop

ROWS = "sales_summary"


async def run_ahead(shop: Shop) -> None:
    """Let the reports and the mail stand past the head, as after the log was rewound."""
    reports, log = shop.storage("reports.db"), shop.storage()
    for storage, name in ((reports, "sales.summaries"), (log, "sales.send-mail")):
        await storage.open()
        await storage.open_subscription(name, partitions=2, start_after=0)
        move = CheckpointMove(name, 0, 0, 9, id_bytes())
        await storage.commit(Changes(checkpoints=(move,)))
    await reports.prepare_collections([CollectionSpec(ROWS, ("order_id", "total"))])
    await reports.commit(Changes(rows=(RowChange(ROWS, "1", "{}"),)))
    for storage in (reports, log):
        await storage.close()


async def standing(shop: Shop, file: str) -> dict[str, list[int]]:
    """Return where the subscriptions in a file stand."""
    storage = shop.storage(file)
    await storage.open()
    found = await storage.subscriptions()
    await storage.close()
    return {one.name: [each.position for each in one.checkpoints] for one in found}


def test_a_shop_that_stands_in_its_log_needs_no_recovery(shop: Shop) -> None:
    ran = shop.run("--json", "db", "recover", "--app", "clishop:shop")

    assert ran.code == 0
    assert ran.object["subscriptions_ahead"] == 0


def test_what_is_ahead_is_shown_and_not_touched(shop: Shop) -> None:
    asyncio.run(run_ahead(shop))

    ran = shop.run("--json", "db", "recover", "--app", "clishop:shop")

    assert ran.code == 1
    assert [
        (row["storage"], row["subscription"], row["reset"]) for row in ran.object["subscriptions"]
    ] == [
        ("log", "sales.send-mail", "go on after 5"),
        ("reports", "sales.summaries", f"rebuild {ROWS}"),
    ]
    assert asyncio.run(standing(shop, "reports.db")) == {"sales.summaries": [9, 0]}


def test_a_reset_is_shown_first_and_wants_a_confirmation(shop: Shop) -> None:
    asyncio.run(run_ahead(shop))

    ran = shop.run("db", "recover", "--app", "clishop:shop", "--reset")

    assert ran.code == 3
    assert f"rebuild {ROWS}" in ran.out
    assert asyncio.run(standing(shop, "reports.db")) == {"sales.summaries": [9, 0]}


def test_a_reset_rebuilds_projections_and_moves_subscribers_to_the_head(shop: Shop) -> None:
    asyncio.run(run_ahead(shop))

    ran = shop.run("db", "recover", "--app", "clishop:shop", "--reset", "--yes")

    assert ran.code == 0
    assert asyncio.run(standing(shop, "reports.db")) == {"sales.summaries": [0, 0]}
    assert asyncio.run(standing(shop, "log.db")) == {"sales.send-mail": [5, 5]}
    assert shop.run("db", "recover", "--app", "clishop:shop").code == 0


async def rewind_below_generations(shop: Shop) -> None:
    """Let all generations of the summaries stand past the head, with a row of no event."""
    reports = shop.storage("reports.db")
    await reports.open()
    for one in await reports.subscriptions():
        moves = tuple(
            CheckpointMove(one.name, partition, at.position, 9, id_bytes())
            for partition, at in enumerate(one.checkpoints)
        )
        await reports.commit(Changes(checkpoints=moves))
    row = RowChange(f"{ROWS}__g2", "7", '{"order_id":"7","total":"1.00"}')
    await reports.commit(Changes(rows=(row,)))
    await reports.close()


def test_generations_of_a_projection_begin_again_each_with_its_own_rows(shop: Shop) -> None:
    app, name = ("--app", "clishop:shop"), "sales.summaries"
    assert shop.run("projection", "rebuild", name, *app).code == 0
    assert shop.run("projection", "switch", name, *app, "--yes").code == 0
    asyncio.run(rewind_below_generations(shop))

    shown = shop.run("--json", "db", "recover", *app)
    ran = shop.run("db", "recover", *app, "--reset", "--yes")

    assert [(row["subscription"], row["reset"]) for row in shown.object["subscriptions"]] == [
        (name, f"rebuild {ROWS}"),
        (f"{name}@2", f"rebuild {ROWS}__g2"),
    ]
    assert ran.code == 0
    stand = asyncio.run(standing(shop, "reports.db"))
    assert {one: set(positions) for one, positions in stand.items()} == {
        name: {0},
        f"{name}@2": {0},
    }
    verified = shop.run("--json", "projection", "verify", name, *app)
    assert (verified.code, verified.object["same"]) == (0, 2)


def test_another_database_is_looked_at_by_its_url(shop: Shop) -> None:
    asyncio.run(run_ahead(shop))

    ran = shop.on_log("db", "recover", "--database", "sqlite:///reports.db")

    names = [row["subscription"] for row in ran.object["subscriptions"]]
    assert names == ["sales.send-mail", "sales.summaries"]


def test_subscribers_go_on_where_they_are_told_to(shop: Shop) -> None:
    asyncio.run(run_ahead(shop))

    shop.on_log("db", "recover", "--reset", "--yes", "--subscriber-from", "3")

    assert asyncio.run(standing(shop, "log.db")) == {"sales.send-mail": [3, 3]}


def test_who_is_to_be_rebuilt_must_be_ahead(shop: Shop) -> None:
    ran = shop.on_log("db", "recover", "--rebuild", "sales.summaries")

    assert ran.code == 2
    assert "sales.summaries" in ran.err


def test_old_receipts_are_pruned_and_young_ones_stay(shop: Shop) -> None:
    asyncio.run(handle_a_message(shop))

    young = shop.on_log("db", "prune", "--older-than", "1h", "--yes")
    old = shop.on_log("db", "prune", "--older-than", "0s", "--yes")

    assert young.object == {"receipts": 0, "erased_ids": 0}
    assert (old.code, "above zero" in old.err) == (2, True)


async def handle_a_message(shop: Shop) -> None:
    """Store a receipt."""
    storage = shop.storage()
    await storage.open()
    await storage.commit(Changes(receipts=(NewReceipt("mail", id_bytes(), b"1" * 16, "1"),)))
    await storage.close()


def test_pruning_wants_a_confirmation(shop: Shop) -> None:
    assert shop.on_log("db", "prune").code == 3
