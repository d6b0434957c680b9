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
