"""Rows that are read as one text come back the same where the text would be too long."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.adapters.storage.sqlite.log import select_page, select_payloads, select_stream
from headwater.ports.log import EVERYTHING
from headwater.testing.conformance.builders import appending, new_event

FULL = 20


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file with twenty events of 500 bytes, their texts with all that JSON must escape."""

    async def make() -> None:
        storage = SqliteStorage(tmp_path / "log.db")
        await storage.open()
        for number in range(FULL):
            data = '{"text":"\\u0000 ü 漢 🐘 \\" ' + "x" * 450 + f'{number}"}}'
            event = new_event(data=data, tags=("a",), actor='a\0b\n"\\ü🐘')
            await storage.commit(appending("order-1", event))
        await storage.close()

    asyncio.run(make())
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as connection:
        yield connection


def test_a_text_that_is_too_long_is_read_row_by_row(connection: sqlite3.Connection) -> None:
    def read() -> tuple[object, ...]:
        cursor = connection.cursor()
        return (
            select_page(cursor, after=3, after_id=None, where=EVERYTHING, limit=10),
            select_stream(cursor, "order-1", from_version=9, backwards=True, limit=9),
            select_payloads(cursor, "order-1", from_version=2, limit=15),
        )

    at_once = read()
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2_000)

    assert read() == at_once
    assert not connection.in_transaction


def test_texts_come_back_to_the_last_character(connection: sqlite3.Connection) -> None:
    stored = connection.execute("SELECT data, actor FROM headwater_events").fetchall()

    page = select_page(connection.cursor(), after=0, after_id=None, where=EVERYTHING, limit=FULL)

    assert [(event.data, event.actor) for event in page.events] == stored
    assert page.events[0].actor == 'a\0b\n"\\ü🐘'


def test_a_gap_in_the_versions_does_not_look_like_the_end(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM headwater_events WHERE version BETWEEN 2 AND 18")

    payloads = select_payloads(connection.cursor(), "order-1", from_version=1, limit=3)

    assert [version for version, *_ in payloads] == [1, 19, 20]
