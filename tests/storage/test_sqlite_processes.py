"""Forked children and other event loops are told to open a storage of their own."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import ConfigurationError, ForkedProcessError
from headwater.testing.conformance.builders import appending, new_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_is_told_to_open_its_own(path: Path) -> None:
    script = """
import asyncio, os, sys
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import ForkedProcessError
from headwater.testing.conformance.builders import appending, new_event

def refused(use):
    try:
        use.send(None)
    except ForkedProcessError as error:
        return str(os.getpid()) in str(error)
    return False

loop = asyncio.new_event_loop()
run = loop.run_until_complete
storage = SqliteStorage(sys.argv[1])
run(storage.open())
run(storage.commit(appending("order-1", new_event())))
child = os.fork()
if child == 0:
    uses = storage.commit(appending("order-2", new_event())), storage.head(), storage.open()
    # Without the loop's own clean-up, which would reach into the parent's.
    os._exit(0 if all([refused(use) for use in (*uses, storage.close())]) else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert run(storage.commit(appending("order-3", new_event()))).position == 2
run(storage.close())
"""

    attempt = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert attempt.returncode == 0, attempt.stderr
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert other.execute("SELECT max(position) FROM headwater_events").fetchone() == (2,)


def test_another_event_loop_is_refused(path: Path) -> None:
    storage = SqliteStorage(path)

    async def used_elsewhere() -> None:
        await storage.open()
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, storage.head())
        await storage.close()

    asyncio.run(used_elsewhere())


def test_a_storage_that_was_closed_may_move_to_another_event_loop(path: Path) -> None:
    storage = SqliteStorage(path)

    async def use() -> int:
        await asyncio.gather(storage.open(), storage.open())
        committed = await storage.commit(appending("order-1", new_event()))
        await storage.close()
        return committed.position

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]


def test_the_error_of_a_fork_names_the_storage() -> None:
    assert ForkedProcessError("text", where="x.db").where == "x.db"
