"""``projection``: built beside, compared, switched to, verified, paused, dropped."""

import asyncio

import pytest

from headwater.ports.changes import Changes, RowChange
from headwater.testing.conformance.builders import append, new_event
from tests.cli.conftest import Shop

APP = ("--app", "clishop:shop")
NAME = "sales.summaries"


@pytest.fixture
def built(shop: Shop) -> Shop:
    """The shop's projection was built and switched to once, so that its rows are there."""
    assert shop.run("projection", "rebuild", NAME, *APP).code == 0
    assert shop.run("projection", "switch", NAME, *APP, "--yes").code == 0
    return shop


async def spoil(shop: Shop) -> None:
    reports = shop.storage("reports.db")
    await reports.open()
    row = RowChange("sales_summary__g2", "1", '{"order_id":"1","total":"0.01"}')
    await reports.commit(Changes(rows=(row,)))
    await reports.close()


def test_rows_are_built_beside_and_switched_to_also_if_no_worker_runs(shop: Shop) -> None:
    rebuilt = shop.run("--json", "projection", "rebuild", NAME, *APP)
    assert (rebuilt.code, rebuilt.object["generation"], rebuilt.object["lag"]) == (0, 2, 0)

    switched = shop.run("--json", "projection", "switch", NAME, *APP, "--yes")

    assert switched.code == 0
    assert switched.object == {
        "projection": NAME,
        "live": 2,
        "version": 1,
        "position": 5,
        "same": 2,
        "changed": 0,
        "missing": 0,
        "added": 0,
    }
    listed = shop.run("--json", "projection", "list", *APP)
    assert [(row["generation"], row["state"]) for row in listed.rows] == [(1, "old"), (2, "live")]


def test_a_switch_wants_a_confirmation_and_shows_first_what_differs(built: Shop) -> None:
    asyncio.run(spoil(built))
    assert built.run("projection", "rebuild", NAME, *APP).code == 0

    asked = built.run("projection", "switch", NAME, *APP)

    assert asked.code == 3
    assert "1 rows are the same, 1 changed" in asked.err
    assert "changed 1: total: '0.01' → '9.90'" in asked.err
    done = built.run("projection", "switch", NAME, *APP, "--yes")
    assert done.code == 0


async def sell_elsewhere(shop: Shop) -> None:
    other = shop.storage("other.db")
    await other.open()
    events = [new_event(data=f'{{"order_id":"{number}","total":"1.00"}}') for number in range(7)]
    await other.commit(Changes((append("sales.order-1", *events),)))
    await other.close()


def test_the_storage_that_is_named_takes_the_place_of_the_apps(shop: Shop) -> None:
    asyncio.run(sell_elsewhere(shop))
    other = (*APP, "--storage", "sqlite:///other.db")

    rebuilt = shop.run("--json", "projection", "rebuild", NAME, *other)
    switched = shop.run("--json", "projection", "switch", NAME, *other, "--yes")
    verified = shop.run("--json", "projection", "verify", NAME, *other)

    assert (rebuilt.code, rebuilt.object["position"]) == (0, 7)
    assert (switched.code, switched.object["same"]) == (0, 7)
    assert (verified.code, verified.object["same"]) == (0, 7)


def test_verify_says_by_its_exit_code_whether_rows_are_what_the_log_makes(built: Shop) -> None:
    assert built.run("projection", "verify", NAME, *APP).code == 0
    asyncio.run(spoil(built))

    found = built.run("--json", "projection", "verify", NAME, *APP)

    assert (found.code, found.object["changed"]) == (1, 1)
    assert len(built.run("--json", "projection", "status", NAME, *APP).rows) == 2


def test_a_generation_is_paused_resumed_and_dropped_without_the_app(built: Shop) -> None:
    reports = ("--storage", "sqlite:///reports.db")

    paused = built.run("projection", "pause", NAME, *reports, "--reason", "too slow")
    assert paused.code == 0
    shown = built.run("--json", "projection", "status", NAME, *reports)
    assert "too slow" in shown.rows[1]["waits"]
    assert built.run("projection", "resume", NAME, *reports).code == 0

    assert built.run("projection", "drop", NAME, "1", *reports).code == 3
    assert built.run("projection", "drop", NAME, "2", *reports, "--yes").code == 3
    assert built.run("projection", "drop", NAME, "1", *reports, "--yes").code == 0
    assert len(built.run("--json", "projection", "list", *reports).rows) == 1


def test_what_is_not_there_or_can_not_be_is_told(shop: Shop) -> None:
    unknown = shop.run("projection", "rebuild", "sales.sumaries", *APP)
    assert (unknown.code, "there are: sales.summaries" in unknown.err) == (2, True)
    assert "Name the app" in shop.run("projection", "verify", NAME, "-s", shop.url).err
    shop.run("projection", "rebuild", NAME, *APP)
    waited = shop.run("projection", "wait", NAME, *APP, "--timeout", "5")
    assert waited.code == 0
    assert shop.run("projection", "status", "sales.nothing", *APP).code == 2
    shop.run("projection", "switch", NAME, *APP, "--yes")
    again = shop.run("projection", "switch", NAME, *APP, "--yes")
    assert (again.code, "nothing is being built" in again.err) == (3, True)
