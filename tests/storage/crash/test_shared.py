"""Two processes write to one file and a third follows its log."""

import json
from itertools import pairwise
from pathlib import Path

from tests.storage.crash.processes import (
    Acknowledged,
    acknowledged,
    begin,
    check_file,
    output,
    process,
)

WRITERS = 8
COMMITS = 60


def test_two_writing_processes_share_the_file_fairly_and_a_reader_misses_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"

    with (
        process("writing.py", f"sqlite:///{path}", "a", 1, WRITERS, COMMITS) as first,
        process("writing.py", f"sqlite:///{path}", "b", 2, WRITERS, COMMITS) as second,
        process("tailing.py", path, WRITERS * COMMITS * 2) as reader,
    ):
        begin(first)
        begin(second)
        mine = acknowledged(output(first).readlines())
        theirs = acknowledged(output(second).readlines())
        pages = [json.loads(line) for line in output(reader)]
        assert [first.wait(), second.wait(), reader.wait()] == [0, 0, 0]

    ids = check_file(path, mine + theirs)
    seen = [position for page in pages for position in page]
    assert len(mine) == len(theirs) == WRITERS * COMMITS
    assert seen == list(range(1, len(seen) + 1))
    assert WRITERS * COMMITS * 2 <= len(seen) <= len(ids)
    assert_fair(mine, theirs)


def test_a_process_that_writes_little_is_not_starved_by_one_that_writes_much(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    few = 25

    with (
        process("writing.py", f"sqlite:///{path}", "a", 1, 1500, 100_000) as busy,
        process("writing.py", f"sqlite:///{path}", "b", 2, 1, few) as modest,
    ):
        begin(busy)
        output(busy).readline()
        begin(modest)
        acks = acknowledged(output(modest).readlines())
        assert modest.wait() == 0
        busy.kill()
        output(busy).read()

    pauses = [(after.nanoseconds - before.nanoseconds) / 1e9 for before, after in pairwise(acks)]
    assert len(acks) == few
    assert max(pauses) < 2


def assert_fair(mine: list[Acknowledged], theirs: list[Acknowledged]) -> None:
    """Assert that while both were writing neither got less than a quarter of the commits."""
    begun = max(mine[0].nanoseconds, theirs[0].nanoseconds)
    ended = min(mine[-1].nanoseconds, theirs[-1].nanoseconds)
    shares = [sum(begun <= ack.nanoseconds <= ended for ack in acks) for acks in (mine, theirs)]
    assert min(shares) >= sum(shares) / 4
