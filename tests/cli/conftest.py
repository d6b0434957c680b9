"""A small shop with a log in a file, and a way to run commands on it."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.cli.program import run
from headwater.ports.changes import Changes
from headwater.testing.conformance.builders import append, new_event

SHOP = """
from headwater import (
    App, BoundedContext, Event, Projection, ReadModel, applies,
)


class OrderPlaced(Event, context="sales"):
    order_id: str
    total: str = "0.00"


class Summary(ReadModel, key="order_id", context="sales"):
    order_id: str
    total: str


sales = BoundedContext("sales")


@sales.projection(database="reports")
class Summaries(Projection[Summary]):
    @applies
    def placed(self, event: OrderPlaced, row: Summary | None) -> Summary:
        return Summary(event.order_id, event.total)


@sales.subscriber
async def send_mail(event: OrderPlaced) -> None: ...


sales.register(OrderPlaced)


def shop() -> App:
    app = App("shop", storage="sqlite:///log.db", databases={"reports": "sqlite:///reports.db"})
    app.include(sales)
    return app
"""


@pytest.fixture(autouse=True)
def event_loop_guard() -> None:
    """Let a command write to the terminal where it stands: its event loop serves nobody else."""


class Ran(msgspec.Struct, frozen=True):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of JSON that it wrote."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The one object that it wrote."""
        (row,) = self.rows
        return row


class Shop:
    """A folder with a shop's log, and what runs commands there."""

    url = "sqlite:///log.db"

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def run(self, *arguments: str) -> Ran:
        """Run a command as it stands."""
        self._capsys.readouterr()
        code = run(arguments)
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)

    def on_log(self, *arguments: str) -> Ran:
        """Run a command on the log, with results as JSON."""
        return self.run("--json", *arguments, "--storage", self.url)

    def storage(self, name: str = "log.db") -> SqliteStorage:
        """Return a storage of the folder, which is not open."""
        return SqliteStorage(SqliteSettings(self.folder / name, durability="normal"))


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shop]:
    """A shop with two orders of five events altogether; commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_STORAGE", raising=False)
    (tmp_path / "clishop.py").write_text(SHOP)
    shop = Shop(tmp_path, capsys)
    asyncio.run(_fill(shop.storage()))
    yield shop
    sys.modules.pop("clishop", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


async def _fill(storage: SqliteStorage) -> None:
    await storage.open()
    placed = new_event(data='{"order_id":"1","total":"9.90"}', tags=("vip",), actor="ada")
    shipped = [new_event("sales.order-shipped", f'{{"parcel":{n}}}') for n in (1, 2)]
    await storage.commit(Changes((append("sales.order-1", placed, *shipped),)))
    other = [new_event(data=f'{{"order_id":"2","total":"{n}.00"}}') for n in (1, 2)]
    await storage.commit(Changes((append("sales.order-2", *other),)))
    await storage.close()
