"""The guard itself: it sees the library block, and lets tests and threads do so."""

import asyncio
import io
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest
from blockbuster import BlockingError

import headwater
from tests.house.event_loop_guard import EventLoopGuard

ROOT = Path(__file__).parents[2]
LIBRARY = Path(headwater.__file__).parent


def held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


BLOCKING_CALLS: dict[str, Callable[[], object]] = {
    "a sleep": lambda: time.sleep(0),
    "a lock": lambda: held_lock().acquire(timeout=0.001),
    "an event": lambda: threading.Event().wait(0.001),
    "a file": lambda: Path(__file__).read_bytes(),
    "a file, opened": lambda: io.open(__file__).close(),  # noqa: UP020 - another name to guard
    "a sync to disk": lambda: os.fsync(1),
    "a database": lambda: sqlite3.connect(":memory:"),
    "a thread": lambda: threading.Thread().join(),
}


def as_if_in_library(function: Callable[[], object]) -> Callable[[], object]:
    """Return *function* with its code moved, by name, into a module of the library."""
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_filename=str(LIBRARY / "imagined.py"))
    return FunctionType(code, function.__globals__)


@pytest.mark.parametrize("name", BLOCKING_CALLS)
async def test_a_library_that_blocks_the_loop_is_stopped_and_remembered(
    name: str, event_loop_guard: EventLoopGuard
) -> None:
    blocks = as_if_in_library(BLOCKING_CALLS[name])

    with pytest.raises(BlockingError):
        blocks()

    assert len(event_loop_guard.blocked) == 1
    event_loop_guard.blocked.clear()


async def test_a_test_may_block(event_loop_guard: EventLoopGuard) -> None:
    time.sleep(0)  # noqa: ASYNC251 - the point of the test
    sqlite3.connect(":memory:").close()

    assert event_loop_guard.blocked == []


async def test_the_library_may_block_in_a_thread(event_loop_guard: EventLoopGuard) -> None:
    await asyncio.to_thread(as_if_in_library(lambda: time.sleep(0)))

    assert event_loop_guard.blocked == []


def test_the_library_may_block_where_no_loop_runs(event_loop_guard: EventLoopGuard) -> None:
    as_if_in_library(lambda: time.sleep(0))()

    assert event_loop_guard.blocked == []


def test_a_test_fails_though_the_library_swallowed_the_error(tmp_path: Path) -> None:
    (tmp_path / "test_swallows.py").write_text(
        "from tests.house.test_event_loop_guard import as_if_in_library, BLOCKING_CALLS\n"
        "\n"
        "async def test_swallows():\n"
        "    try:\n"
        "        as_if_in_library(BLOCKING_CALLS['a sleep'])()\n"
        "    except Exception:\n"
        "        pass\n"
    )

    options: list[str | Path] = [
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        tmp_path,
        "-p",
        "tests.conftest",
    ]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "The library blocked the event loop: Blocking call to time.sleep" in outcome.stdout
    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED


async def test_a_log_record_may_be_written(event_loop_guard: EventLoopGuard) -> None:
    logs = as_if_in_library(lambda: logging.getLogger("headwater").error("to wherever it goes"))

    logs()

    assert event_loop_guard.blocked == []
