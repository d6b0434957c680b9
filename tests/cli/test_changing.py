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
