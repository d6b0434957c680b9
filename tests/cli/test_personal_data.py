"""What is personal leaves the storage as it stands there, and is shown to those with the keys."""

import sys
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Shop

CRM = """
from typing import Annotated
from headwater import App, BoundedContext, Event, Personal, PersonalDataSettings, Subject


class Registered(Event, context="crm"):
    customer_id: Annotated[str, Subject()]
    name: Annotated[str, Personal()]


crm = BoundedContext("crm")
crm.register(Registered)
app = App(
    "crm",
    storage="sqlite:///crm.db",
    personal_data=PersonalDataSettings(
        keys="sqlite:///keys.db", master_key=b"k" * 32, ledger="forgotten.jsonl"
    ),
)
app.include(crm)
"""
FILL = """
import asyncio, clicrm
from headwater import ExpectedVersion

async def main():
    async with clicrm.app as app:
        event = clicrm.Registered("c-1", "Ada Lovelace")
        await app.event_store.append("crm.customer-1", [event], expected=ExpectedVersion.any())

asyncio.run(main())
"""


@pytest.fixture
def crm(shop: Shop) -> Iterator[Shop]:
    """A folder with an app that has stored a name."""
    (shop.folder / "clicrm.py").write_text(CRM)
    sys.path.insert(0, str(shop.folder))
    exec(compile(FILL, "fill", "exec"), {})
    yield shop
    sys.modules.pop("clicrm", None)


def test_a_person_is_forgotten_and_stands_in_the_ledger(crm: Shop) -> None:
    unasked = crm.run("personal", "forget", "c-1", "--app", "clicrm:app")
    done = crm.run(
        *("--json", "personal", "forget", "c-1", "--app", "clicrm:app"),
        *("--why", "request 17", "--by", "dpo", "--yes"),
    )
    mistyped = crm.run("--json", "personal", "forget", "c-l", "--app", "clicrm:app", "--yes")
    ledger = crm.run("--json", "personal", "forgotten", "--app", "clicrm:app")
    shown = crm.run("--json", "stream", "show", "crm.customer-1", "--app", "clicrm:app")

    assert unasked.code == 3
    assert (done.code, done.object["had_key"]) == (0, True)
    assert (mistyped.code, mistyped.object["had_key"]) == (1, False)
    assert [(row["subject"], row["by"], row["why"]) for row in ledger.rows] == [
        ("c-1", "dpo", "request 17"),
        ("c-l", "", ""),
    ]
    assert shown.object["data"]["name"] == "(erased)"


def test_a_storage_without_its_keys_can_be_given_others(crm: Shop) -> None:
    (crm.folder / "keys.db").unlink()
    refused = crm.run("stream", "verify", "--app", "clicrm:app")
    adopted = crm.run("--json", "personal", "adopt", "--app", "clicrm:app", "--yes")
    verified = crm.run("--json", "stream", "verify", "--app", "clicrm:app")
    crm.run("personal", "forget", "c-1", "--app", "clicrm:app", "--yes")
    whole = crm.run("--json", "stream", "verify", "--app", "clicrm:app")

    assert refused.code == 3
    assert "personal adopt" in refused.err
    assert (adopted.code, adopted.object["storage"]) == (0, "log")
    assert (verified.code, verified.object["counts"]) == (1, {"personal": 1})
    assert whole.code == 0


def test_an_app_without_keys_has_nobody_to_forget(crm: Shop) -> None:
    ran = crm.run("personal", "forgotten", "--app", "clishop:shop")

    assert ran.code == 2
    assert "has keys" in ran.err


def test_an_export_has_personal_data_as_it_is_stored(crm: Shop) -> None:
    ran = crm.run("stream", "export", "crm.jsonl", "--app", "clicrm:app")

    assert ran.code == 0
    assert "c-1" in (crm.folder / "crm.jsonl").read_text()
    assert "Lovelace" not in (crm.folder / "crm.jsonl").read_text()


def test_a_stream_shows_personal_data_to_an_app_that_has_the_keys_alone(crm: Shop) -> None:
    stored = crm.run("--json", "stream", "show", "crm.customer-1", "-s", "sqlite:///crm.db")
    read = crm.run("--json", "stream", "show", "crm.customer-1", "--app", "clicrm:app")

    assert "Lovelace" not in stored.out
    assert read.object["data"]["name"] == "Ada Lovelace"


def test_personal_data_is_verified_with_the_keys(crm: Shop) -> None:
    ran = crm.run("--json", "stream", "verify", "--app", "clicrm:app")

    assert (ran.code, ran.object["payloads_decoded"]) == (0, True)
