"""``stream archive``, ``restore``, ``truncate`` and ``tombstone``."""

import pytest

from tests.cli.conftest import Shop

WHY = ("--reason", "GDPR request 17", "--actor", "ada")


@pytest.mark.parametrize(
    ("command", "state", "first_version"),
    [
        (("archive",), "archived", 1),
        (("truncate", "--before", "3"), "open", 3),
        (("tombstone",), "tombstoned", 0),
    ],
)
def test_a_stream_is_changed_and_the_change_recorded(
    shop: Shop, command: tuple[str, ...], state: str, first_version: int
) -> None:
    ran = shop.on_log("stream", command[0], "sales.order-1", *command[1:], *WHY, "--yes")

    record = shop.on_log("stream", "show", "$streams-sales.order-1").object
    assert ran.code == 0
    assert (ran.object["state"], ran.object["first_version"]) == (state, first_version)
    assert (record["actor"], record["data"]["reason"]) == ("ada", "GDPR request 17")
    assert record["position"] == ran.object["position"] == 6


def test_an_archived_stream_is_restored(shop: Shop) -> None:
    shop.on_log("stream", "archive", "sales.order-1", *WHY, "--yes")

    assert shop.on_log("stream", "restore", "sales.order-1", *WHY, "-y").object["state"] == "open"


def test_nothing_is_done_without_a_confirmation(shop: Shop) -> None:
    ran = shop.on_log("stream", "tombstone", "sales.order-1", *WHY)

    assert ran.code == 3
    assert "--yes" in ran.err
    assert len(shop.on_log("stream", "show", "sales.order-1").rows) == 3


def test_what_a_tombstoned_stream_can_not_be_is_refused(shop: Shop) -> None:
    shop.on_log("stream", "tombstone", "sales.order-1", *WHY, "--yes")

    ran = shop.on_log("stream", "restore", "sales.order-1", *WHY, "--yes")

    assert ran.code == 3
    assert "StreamClosedError" in ran.err


def test_who_and_why_must_be_said(shop: Shop) -> None:
    assert shop.on_log("stream", "archive", "sales.order-1", "--yes", "--reason", "x").code == 2
    assert shop.on_log("stream", "archive", "sales.order-1", "--yes", "--actor", "x").code == 2


@pytest.mark.parametrize(
    "command", [("archive",), ("restore",), ("truncate", "--before", "2"), ("tombstone",)]
)
def test_a_stream_that_never_had_an_event_is_not_changed(
    shop: Shop, command: tuple[str, ...]
) -> None:
    ran = shop.on_log("stream", command[0], "sales.oder-1", *command[1:], *WHY, "--yes")

    assert (ran.code, "mistyped" in ran.err) == (3, True)
    assert shop.on_log("stream", "show", "$streams-sales.oder-1").code == 1


def test_a_stream_that_never_had_an_event_is_closed_by_force(shop: Shop) -> None:
    ran = shop.on_log("stream", "tombstone", "sales.order-9", *WHY, "--yes", "--force")

    assert (ran.code, ran.object["state"]) == (0, "tombstoned")


def test_a_version_that_a_stream_has_not_come_to_is_no_end_of_a_truncation(shop: Shop) -> None:
    beyond = shop.on_log("stream", "truncate", "sales.order-1", "--before", "5", *WHY, "--yes")
    left = len(shop.on_log("stream", "show", "sales.order-1").rows)
    all_of_it = shop.on_log("stream", "truncate", "sales.order-1", "--before", "4", *WHY, "--yes")

    assert (beyond.code, left, all_of_it.code) == (2, 3, 0)
    assert "has version 3" in beyond.err
    assert (all_of_it.object["version"], all_of_it.object["first_version"]) == (3, 0)
