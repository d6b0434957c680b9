"""A process that is killed in the middle of commits loses none that returned."""

import random
from itertools import islice
from pathlib import Path

import pytest

from tests.storage.crash.processes import (
    Acknowledged,
    acknowledged,
    begin,
    check_file,
    output,
    process,
)

ROUNDS = 4
WRITERS = 12


@pytest.mark.parametrize("seed", range(5))
def test_every_commit_that_returned_is_there_whole_after_kills(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "log.db"
    chance = random.Random(seed)
    acks: list[Acknowledged] = []
    ids: dict[int, bytes] = {}

    for number in range(ROUNDS):
        with process(
            "writing.py", f"sqlite:///{path}", "a", seed + number, WRITERS, 100_000
        ) as writer:
            begin(writer)
            lines = list(islice(output(writer), chance.randint(1, 400)))
            writer.kill()
            lines += output(writer).readlines()
        acks += acknowledged(lines)
        found = check_file(path, acks)

        assert found.items() >= ids.items()
        ids = found

    assert len(acks) >= ROUNDS


def test_killing_one_of_two_writers_does_not_stop_the_other(tmp_path: Path) -> None:
    path = tmp_path / "log.db"

    with (
        process("writing.py", f"sqlite:///{path}", "a", 1, WRITERS, 100_000) as killed,
        process("writing.py", f"sqlite:///{path}", "b", 2, WRITERS, 40) as kept,
    ):
        begin(killed)
        begin(kept)
        lines = list(islice(output(killed), 100))
        killed.kill()
        lines += output(killed).readlines()
        lines += output(kept).readlines()
        assert kept.wait() == 0

    acks = acknowledged(lines)
    check_file(path, acks)
    assert sum(ack.stream_id.startswith("crash.b-") for ack in acks) == 40 * WRITERS
