"""``stream list``, ``show`` and ``tail``."""

import re

import pytest

from tests.cli.conftest import SHOP, Shop

CHANGE = ("--reason", "old", "--actor", "ada", "--yes")


def test_streams_are_listed_with_version_and_state(shop: Shop) -> None:
    shop.on_log("stream", "archive", "sales.order-2", *CHANGE)

    ran = shop.on_log("stream", "list")

    assert ran.code == 0
    assert ran.rows == [
        {"stream": "sales.order-1", "version": 3, "first_version": 1, "state": "open"},
        {"stream": "sales.order-2", "version": 2, "first_version": 1, "state": "archived"},
    ]


def test_streams_are_listed_in_a_table_for_people(shop: Shop) -> None:
    ran = shop.run("stream", "list", "-s", shop.url)

    assert re.search(r"sales\.order-1 +3 +1 +open", ran.out)
    assert ran.err == ""


def test_a_long_list_says_where_it_goes_on(shop: Shop) -> None:
    first = shop.on_log("stream", "list", "--limit", "1")
    second = shop.on_log("stream", "list", "--limit", "1", "--after", "sales.order-1")

    assert "--after sales.order-1" in first.err
    assert [row["stream"] for row in second.rows] == ["sales.order-2"]


def test_internal_streams_are_listed_when_asked_for(shop: Shop) -> None:
    shop.on_log("stream", "archive", "sales.order-2", *CHANGE)

    ran = shop.on_log("stream", "list", "--internal", "--category", "$streams")

    assert [row["stream"] for row in ran.rows] == ["$streams-sales.order-2"]


def versions(shop: Shop, *options: str) -> list[int]:
    """Return the versions that ``stream show`` shows."""
    return [row["version"] for row in shop.on_log("stream", "show", "sales.order-1", *options).rows]


def test_a_stream_is_shown_with_all_there_is_of_its_events(shop: Shop) -> None:
    event = shop.on_log("stream", "show", "sales.order-1").rows[0]

    assert (event["type"], event["actor"], event["tags"]) == ("sales.order-placed", "ada", ["vip"])
    assert event["data"] == {"order_id": "1", "total": "9.90"}
    assert event["occurred_at"] == "2023-11-14T22:13:20.000000Z"


def test_a_part_of_a_stream_is_shown(shop: Shop) -> None:
    assert versions(shop) == [1, 2, 3]
    assert versions(shop, "--backwards") == [3, 2, 1]
    assert versions(shop, "--from", "2", "--to", "2") == [2]
    assert versions(shop, "--backwards", "--from", "2") == [3, 2]
    assert versions(shop, "--backwards", "--to", "2", "--limit", "1") == [2]
    assert versions(shop, "--as-of", "2") == [1, 2]


def test_a_stream_is_shown_as_of_a_time(shop: Shop) -> None:
    now = shop.on_log("stream", "show", "sales.order-1").rows[-1]["recorded_at"]

    assert versions(shop, "--as-of", now) == [1, 2, 3]
    assert versions(shop, "--as-of", "2001-01-01T00:00:00+01:00") == []


@pytest.mark.parametrize("moment", ["yesterday", "2001-01-01T00:00:00"])
def test_a_time_without_zone_is_refused(shop: Shop, moment: str) -> None:
    ran = shop.on_log("stream", "show", "sales.order-1", "--as-of", moment)

    assert ran.code == 2
    assert "time with its zone" in ran.err


def test_nothing_to_show_is_exit_code_1(shop: Shop) -> None:
    ran = shop.on_log("stream", "show", "sales.order-9")

    assert (ran.code, ran.out) == (1, "")


def test_payloads_are_laid_out_for_people(shop: Shop) -> None:
    ran = shop.run("stream", "show", "sales.order-1", "-s", shop.url)

    assert '\n      "total": "9.90"\n' in ran.out
    assert "sales.order-1@1  sales.order-placed  by ada  [vip]" in ran.out


def test_an_app_shows_what_old_events_are_read_as_today(shop: Shop) -> None:
    code = SHOP.replace(
        "sales.register(OrderPlaced)",
        "sales.register(OrderPlaced)\n"
        "sales.upcasters.rename_event('sales.order-shipped', to='sales.order-placed')",
    )
    (shop.folder / "clishop.py").write_text(code)

    ran = shop.run("--json", "stream", "show", "sales.order-1", "--app", "clishop:shop")
    for_people = shop.run("stream", "tail", "--app", "clishop:shop")

    assert "read_as" not in ran.rows[0]
    assert ran.rows[1]["data"] == {"parcel": 1}
    assert ran.rows[1]["read_as"] == [
        {"type": "sales.order-placed", "schema_version": 1, "data": {"parcel": 1}}
    ]
    assert '"type":"sales.order-placed"' in for_people.out.splitlines()[1]


def test_types_that_an_app_does_not_know_are_shown_raw(shop: Shop) -> None:
    ran = shop.run("--json", "stream", "show", "sales.order-1", "--app", "clishop:shop")

    assert [row["data"] for row in ran.rows[1:]] == [{"parcel": 1}, {"parcel": 2}]


def test_a_tail_shows_the_end_of_the_log_or_what_follows_a_position(shop: Shop) -> None:
    whole = shop.on_log("stream", "tail")
    part = shop.on_log("stream", "tail", "--after", "2", "--limit", "2")

    assert [row["position"] for row in whole.rows] == [1, 2, 3, 4, 5]
    assert [row["position"] for row in part.rows] == [3, 4]


def test_a_tail_with_a_limit_shows_the_last_events(shop: Shop) -> None:
    last = shop.on_log("stream", "tail", "--limit", "2")
    placed = shop.on_log("stream", "tail", "--limit", "2", "--type", "sales.order-shipped")
    more_than_there_are = shop.on_log("stream", "tail", "--limit", "9")

    assert [row["position"] for row in last.rows] == [4, 5]
    assert [row["position"] for row in placed.rows] == [2, 3]
    assert len(more_than_there_are.rows) == 5


def test_the_streams_of_an_app_are_listed(shop: Shop) -> None:
    ran = shop.run("--json", "stream", "list", "--app", "clishop:shop")

    assert [row["stream"] for row in ran.rows] == ["sales.order-1", "sales.order-2"]


def test_a_tail_is_filtered_by_type_category_and_tag(shop: Shop) -> None:
    by_type = shop.on_log("stream", "tail", "--type", "sales.order-shipped")
    by_tag = shop.on_log("stream", "tail", "--tag", "vip")
    by_category = shop.on_log("stream", "tail", "--category", "billing.invoice")

    assert [row["position"] for row in by_type.rows] == [2, 3]
    assert [row["position"] for row in by_tag.rows] == [1]
    assert by_category.rows == []


def test_a_tail_is_one_line_per_event_for_people(shop: Shop) -> None:
    ran = shop.run("stream", "tail", "-s", shop.url)

    assert len(ran.out.splitlines()) == 5
    assert ran.out.splitlines()[1].endswith('sales.order-shipped  {"parcel":1}')
