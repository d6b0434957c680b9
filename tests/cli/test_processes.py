"""The program as a process: signals, pipes, and a kill at any moment."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Shop

HEADWATER = [sys.executable, "-m", "headwater.cli"]


def started(shop: Shop, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command in the shop's folder."""
    return subprocess.Popen(
        [*HEADWATER, *arguments],
        cwd=shop.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_tail_follows_the_log_and_ends_with_ctrl_c(shop: Shop) -> None:
    tail = started(shop, "--json", "stream", "tail", "--follow", "--internal", "-s", shop.url)
    assert tail.stdout is not None
    before = [json.loads(tail.stdout.readline())["position"] for _ in range(5)]

    shop.on_log("stream", "archive", "sales.order-2", "--reason", "x", "--actor", "x", "--yes")
    following = json.loads(tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    _, err = tail.communicate(timeout=20)

    assert before == [1, 2, 3, 4, 5]
    assert following["type"] == "headwater.stream-archived"
    assert (tail.returncode, err) == (0, "")


def test_a_reader_who_has_enough_is_no_error(shop: Shop) -> None:
    tail = started(shop, "stream", "tail", "--follow", "--internal", "-s", shop.url)
    assert tail.stdout is not None
    assert tail.stderr is not None
    tail.stdout.readline()
    tail.stdout.close()

    shop.on_log("stream", "restore", "sales.order-2", "--reason", "x", "--actor", "x", "-y")
    with tail.stderr:
        code = tail.wait(timeout=20)

        assert (code, tail.stderr.read()) == (0, "")


def test_an_import_that_is_killed_at_any_moment_goes_on(shop: Shop, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from headwater.adapters.storage.sqlite import SqliteStorage\n"
        "from headwater.operations import export_file\n"
        "from headwater.cli.program import run\n"
        "left = int(sys.argv[1])\n"
        "real = SqliteStorage.restore_log\n"
        "async def restore_log(self, *args, **options):\n"
        "    global left\n"
        "    await real(self, *args, **options)\n"
        "    left -= 1\n"
        "    if left == 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "SqliteStorage.restore_log = restore_log\n"
        "sys.exit(run(['stream', 'import', 'log.jsonl', '-s', 'sqlite:///copy.db']))\n"
    )
    small = (
        "import sys; from headwater.operations import export_file\n"
        "export_file.CHUNK_EVENTS_MAX = 1\n"
        "from headwater.cli.program import run\n"
        "sys.exit(run(['stream', 'export', 'log.jsonl', '-s', 'sqlite:///log.db']))\n"
    )
    assert subprocess.run([sys.executable, "-c", small], cwd=tmp_path, check=False).returncode == 0

    codes: list[int] = []
    while 0 not in codes:
        done = subprocess.run([sys.executable, "-c", program, "2"], cwd=tmp_path, check=False)
        codes.append(done.returncode)

    assert codes[:-1] == [-signal.SIGKILL] * 3
    copy = shop.run("stream", "tail", "-s", "sqlite:///copy.db", "--json")
    assert copy.out == shop.on_log("stream", "tail").out
