"""Starts the processes that write and read, and looks at what they left in the file."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

HERE = Path(__file__).parent


class Acknowledged(NamedTuple):
    """A commit that returned: its last event's place, and when."""

    stream_id: str
    version: int
    position: int
    nanoseconds: int


@contextmanager
def process(script: str, *args: object) -> Generator[subprocess.Popen[str], None, None]:
    """Run a script of this folder until it has said that it is ready; kill it at the end."""
    command = [sys.executable, str(HERE / script), *map(str, args)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            assert output(running).readline() == "ready\n"
            yield running
        finally:
            running.kill()


def output(running: subprocess.Popen[str]) -> IO[str]:
    """Return what the process says."""
    assert running.stdout is not None
    return running.stdout


def begin(running: subprocess.Popen[str]) -> None:
    """Let a process begin to write."""
    assert running.stdin is not None
    running.stdin.write("go\n")
    running.stdin.flush()


def acknowledged(lines: Sequence[str]) -> list[Acknowledged]:
    """Return what whole lines acknowledge; a kill can't leave half a line, but a last one none."""
    found: list[Acknowledged] = []
    for line in lines:
        stream_id, *numbers = line.split()
        version, position, nanoseconds = map(int, numbers)
        found.append(Acknowledged(stream_id, version, position, nanoseconds))
    return found


def check_file(path: Path, acks: Sequence[Acknowledged]) -> dict[int, bytes]:
    """Check that all of *acks* are there, whole, each place once; return the ids by position."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        events = connection.execute(
            "SELECT position, stream_id, version, id, data FROM headwater_events ORDER BY position"
        ).fetchall()
        rows = dict(connection.execute("SELECT _key, version FROM progress"))
        tags = connection.execute("SELECT count(*) FROM headwater_event_tags").fetchone()
        head = connection.execute("SELECT position FROM headwater_latest").fetchone()

    assert [position for position, *_ in events] == list(range(1, len(events) + 1))
    assert head == (len(events),)
    assert tags == (len(events),)
    by_place = {(stream_id, version): place for place, stream_id, version, _, _ in events}
    assert len(by_place) == len(events)
    for stream_id, counted in Counter(stream_id for _, stream_id, *_ in events).items():
        assert {version for stream, version in by_place if stream == stream_id} == set(
            range(1, counted + 1)
        )
        assert rows[stream_id] == counted
    commits = Counter((json.loads(data)["commit"], json.loads(data)["of"]) for *_, data in events)
    assert all(count == size for (_, size), count in commits.items())
    for ack in acks:
        assert by_place[ack.stream_id, ack.version] == ack.position
    return {position: id_ for position, _, _, id_, _ in events}
