"""``stream export``, ``import`` and ``verify``."""

import sqlite3

from tests.cli.conftest import Shop


def test_a_log_goes_from_one_storage_to_another(shop: Shop) -> None:
    exported = shop.on_log("stream", "export", "log.jsonl")
    imported = shop.run("stream", "import", "log.jsonl", "-s", "sqlite:///copy.db", "--json")

    original = shop.on_log("stream", "tail", "--internal")
    copy = shop.run("stream", "tail", "-s", "sqlite:///copy.db", "--json")
    assert (exported.code, imported.code) == (0, 0)
    assert imported.object["digest"] == exported.object["digest"]
    assert copy.out == original.out


def test_an_import_over_another_log_is_refused(shop: Shop) -> None:
    shop.on_log("stream", "export", "log.jsonl")
    shop.run("stream", "import", "log.jsonl", "-s", "sqlite:///copy.db")
    shop.on_log("stream", "archive", "sales.order-1", "--reason", "x", "--actor", "x", "--yes")
    shop.on_log("stream", "export", "longer.jsonl")

    ran = shop.run("stream", "import", "longer.jsonl", "-s", "sqlite:///copy.db")

    assert ran.code == 3
    assert "holds something else" in ran.err


def test_a_file_that_is_not_there_is_a_wrong_call(shop: Shop) -> None:
    ran = shop.run("stream", "import", "nothing.jsonl", "-s", "sqlite:///copy.db")

    assert ran.code == 2
    assert "nothing.jsonl" in ran.err


def test_a_sound_log_is_verified(shop: Shop) -> None:
    ran = shop.on_log("stream", "verify")

    assert ran.code == 0
    assert (ran.object["events"], ran.object["problems"]) == (5, 0)


def test_what_is_wrong_with_a_log_is_listed(shop: Shop) -> None:
    with sqlite3.connect(shop.folder / "log.db") as connection:
        connection.execute("UPDATE headwater_events SET data = '{' WHERE position = 2")
    connection.close()

    for_programs = shop.on_log("stream", "verify")
    for_people = shop.run("stream", "verify", "-s", shop.url)

    assert (for_programs.code, for_people.code) == (1, 1)
    assert for_programs.object["counts"] == {"json": 1}
    assert for_programs.object["findings"][0]["stream"] == "sales.order-1"
    assert "sales.order-1" in for_people.out


def test_payloads_are_verified_with_an_app(shop: Shop) -> None:
    ran = shop.run("stream", "verify", "--app", "clishop:shop", "--json")

    assert ran.code == 1
    assert ran.object["counts"] == {"unknown_type": 2}


def test_each_event_of_an_unknown_type_is_listed_when_asked_for(shop: Shop) -> None:
    first = shop.run("stream", "verify", "--app", "clishop:shop")
    every = shop.run("--json", "stream", "verify", "--app", "clishop:shop", "--all")

    assert "1 more were counted and are not listed (2 of unknown_type)" in first.err
    assert [one["position"] for one in every.object["findings"]] == [2, 3]


def test_an_export_that_is_complete_already_says_so(shop: Shop) -> None:
    first = shop.on_log("stream", "export", "log.jsonl")
    again = shop.on_log("stream", "export", "log.jsonl")
    shop.on_log("stream", "archive", "sales.order-1", "--reason", "x", "--actor", "ada", "--yes")
    grown = shop.on_log("stream", "export", "log.jsonl")

    assert (first.code, again.code, grown.code) == (0, 0, 1)
    assert (first.object["complete_before"], again.object["complete_before"]) == (False, True)
    assert "complete already, up to position 5" in again.err
    assert "has come to 6 since" in grown.err


def test_an_export_of_another_log_is_not_gone_on_with(shop: Shop) -> None:
    shop.on_log("stream", "export", "log.jsonl")
    shop.run("db", "init", "sqlite:///other.db")

    ran = shop.run("stream", "export", "log.jsonl", "--storage", "sqlite:///other.db")

    assert (ran.code, "another log" in ran.err) == (3, True)
