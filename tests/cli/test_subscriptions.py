"""``subscription list`` and ``projection rebuild``."""

import asyncio
import sqlite3
from contextlib import closing

from headwater.ports.changes import Changes, CheckpointMove, RowChange
from headwater.ports.rows import CollectionSpec
from headwater.testing.conformance.builders import id_bytes
from tests.cli.conftest import Shop

APP = ("--app", "clishop:shop")
ROWS = "sales_summary"


async def run_some(shop: Shop) -> None:
    """Let the reports stand at 4 and 0 with two rows, and the mail at 5."""
    reports, log = shop.storage("reports.db"), shop.storage()
    for storage, name, at in ((reports, "sales.summaries", 4), (log, "sales.send-mail", 5)):
        await storage.open()
        await storage.open_subscription(name, partitions=2, start_after=0)
        await storage.commit(Changes(checkpoints=(CheckpointMove(name, 0, 0, at, id_bytes()),)))
    await reports.prepare_collections([CollectionSpec(ROWS, ("order_id", "total"))])
    rows = RowChange(ROWS, "1", "{}"), RowChange(ROWS, "gone", "{}")
    await reports.commit(Changes(rows=rows))
    for storage in (reports, log):
        await storage.close()


async def rows_and_checkpoints(shop: Shop) -> tuple[int, list[int]]:
    """Return how many rows the reports have, and where their partitions stand."""
    storage = shop.storage("reports.db")
    await storage.open()
    (found,) = await storage.subscriptions()
    rows = await storage.count_rows(ROWS)
    await storage.close()
    return rows, [one.position for one in found.checkpoints]


def test_subscriptions_are_listed_with_their_checkpoints_and_lag(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("--json", "subscription", "list", *APP)

    assert ran.code == 0
    assert [
        (row["storage"], row["subscription"], row["checkpoints"], row["lag"], row["rows_in"])
        for row in ran.rows
    ] == [
        ("log", "sales.send-mail", [5, 0], 5, None),
        ("reports", "sales.summaries", [4, 0], 5, ROWS),
    ]


def test_subscriptions_of_an_app_that_never_ran_are_listed_too(shop: Shop) -> None:
    ran = shop.run("subscription", "list", *APP)

    assert ran.code == 0
    assert "sales.summaries" in ran.out
    assert "sales.send-mail" in ran.out


def test_subscriptions_of_a_storage_are_listed_without_an_app(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("--json", "subscription", "list", "sqlite:///reports.db")

    assert ran.object["subscription"] == "sales.summaries"


def test_a_rebuild_deletes_the_rows_and_begins_again(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run(
        "--json", "projection", "rebuild", "--in-place", "sales.summaries", *APP, "--yes"
    )

    assert (ran.code, ran.object["rows_deleted"], ran.object["head"]) == (0, 2, 5)
    assert asyncio.run(rows_and_checkpoints(shop)) == (0, [0, 0])


def test_a_rebuild_wants_a_confirmation(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run("projection", "rebuild", "--in-place", "sales.summaries", *APP)

    assert ran.code == 3
    assert asyncio.run(rows_and_checkpoints(shop)) == (2, [4, 0])


def test_without_an_app_the_collection_is_named(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    reports = ("--storage", "sqlite:///reports.db", "--yes")

    unnamed = shop.run("projection", "rebuild", "--in-place", "sales.summaries", *reports)
    done = shop.run(
        "projection", "rebuild", "--in-place", "sales.summaries", "--collection", ROWS, *reports
    )

    assert (unnamed.code, done.code) == (2, 0)
    assert "collections" in unnamed.err
    assert asyncio.run(rows_and_checkpoints(shop)) == (0, [0, 0])


def test_what_the_app_does_not_have_and_a_subscriber_are_refused(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    unknown = shop.run("projection", "rebuild", "--in-place", "sales.sumaries", *APP, "--yes")
    subscriber = shop.run("projection", "rebuild", "--in-place", "sales.send-mail", *APP, "--yes")

    assert (unknown.code, subscriber.code) == (2, 2)
    assert "sales.summaries" in unknown.err
    assert "does again all that it did" in subscriber.err


def test_a_mistyped_collection_is_refused_and_nothing_begins_again(shop: Shop) -> None:
    asyncio.run(run_some(shop))

    ran = shop.run(
        "projection",
        "rebuild",
        "--in-place",
        "sales.summaries",
        *APP,
        "--collection",
        "sales_sumary",
        "--yes",
    )

    assert (ran.code, ROWS in ran.err) == (2, True)
    assert asyncio.run(rows_and_checkpoints(shop)) == (2, [4, 0])


def test_rows_that_were_dropped_by_hand_are_built_again(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    with closing(sqlite3.connect("reports.db")) as connection, connection:
        connection.execute("DELETE FROM headwater_collections")

    ran = shop.run(
        "--json", "projection", "rebuild", "--in-place", "sales.summaries", *APP, "--yes"
    )

    assert (ran.code, ran.object["rows_deleted"]) == (0, 0)
    assert ran.object["collections"] == ""


def test_rows_of_several_projections_are_deleted_by_their_name_only(shop: Shop) -> None:
    asyncio.run(run_some(shop))
    code = (shop.folder / "clishop.py").read_text()
    another = """
@sales.projection(database="reports")
class MoreSummaries(Projection[Summary]):
    @applies
    def placed(self, event: OrderPlaced, row: Summary | None) -> Summary | None:
        return row


def shop() -> App:"""
    (shop.folder / "clishop.py").write_text(code.replace("def shop() -> App:", another))
    command = ("projection", "rebuild", "--in-place", "sales.summaries", *APP, "--yes")

    unnamed = shop.run(*command)
    named = shop.run(*command, "--collection", ROWS)

    assert (unnamed.code, "sales.more-summaries" in unnamed.err) == (2, True)
    assert named.code == 0
