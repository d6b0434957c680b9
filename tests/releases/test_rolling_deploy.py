"""Processes of two releases work on one storage, as in a rolling deploy and after a rollback."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

OLD, NEW = "school_1", "school_2"
SUBSCRIPTIONS = ("school.write-letters", "school.pupils")


class Process:
    """A running release."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self._running = running
        self.answer()

    def begin(self, *command: object) -> None:
        """Have it do something; `answer` waits for that."""
        assert self._running.stdin is not None
        self._running.stdin.write(" ".join(map(str, command)) + "\n")
        self._running.stdin.flush()

    def answer(self) -> Any:
        """Return what came of the first command that was not asked for yet."""
        assert self._running.stdout is not None
        return json.loads(self._running.stdout.readline())

    def do(self, *command: object) -> Any:
        """Have it do something, and return what came of it."""
        self.begin(*command)
        return self.answer()

    def stop(self) -> None:
        """Let it drain and end."""
        assert self._running.stdin is not None
        self._running.stdin.close()
        assert self._running.wait(30) == 0

    def kill(self) -> None:
        """End it where it stands."""
        self._running.kill()
        self._running.wait(30)


@contextmanager
def process(release: str, url: str, *, subscribe: bool = True) -> Generator[Process]:
    """Run a release until the end of the block."""
    arguments = ["-m", "tests.releases.running", release, url]
    with subprocess.Popen(
        [sys.executable, *arguments, "subscribe" if subscribe else "append only"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield Process(running)
        finally:
            running.kill()


def drop_types(url: str, *types: str) -> None:
    """Give up types as an operator does."""
    command = [sys.executable, "-m", "headwater.cli", "subscription", "drop-types"]
    for name in SUBSCRIPTIONS:
        arguments = [name, *types, "--storage", url, "--yes"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def assert_each_once(found: dict[str, list[int]], count: int) -> None:
    expected = list(range(count))
    assert {name: sorted(numbers) for name, numbers in found.items()} == {
        "Letters": expected,
        "Pupil": expected,
    }


def test_in_a_rolling_deploy_every_event_has_its_effect_once(storage_url: str) -> None:
    with process(OLD, storage_url) as old:
        old.do("append", 0, 50)
        old.begin("append", 50, 150)
        # It has not caught up when the new release comes.
        with process(NEW, storage_url) as first:
            first.begin("append", 200, 100)
            old.answer()
            old.begin("append", 300, 50)
            first.answer()
            old.answer()
            first.begin("append", 350, 50)
            first.kill()
        with process(NEW, storage_url) as new:
            old.stop()
            new.do("settle")
            found = new.do("rows")
            appended = sorted(found["Pupil"])

    assert appended[:350] == list(range(350))
    assert_each_once(found, len(appended))


def test_what_a_new_process_only_appends_is_left_for_a_new_worker(storage_url: str) -> None:
    with process(OLD, storage_url) as old:
        old.do("append", 0, 10)
        old.do("settle")
        with process(NEW, storage_url, subscribe=False) as writer:
            writer.do("append", 10, 10)
            said = old.do("waiting", 2)
        with process(NEW, storage_url) as new:
            new.do("settle")
            found = new.do("rows")

    assert all("school.enrolled version 2, school.moved version 1" in text for text in said)
    assert_each_once(found, 20)


def test_after_a_rollback_the_old_release_waits_until_the_types_are_given_up(
    storage_url: str,
) -> None:
    with process(NEW, storage_url) as new:
        new.do("append", 0, 20)
        new.do("settle")
        new.stop()
    with process(OLD, storage_url) as old:
        old.do("append", 20, 20)
        said = old.do("waiting", 2)
        drop_types(storage_url, "school.enrolled", "school.moved")
        old.do("settle")
        found = old.do("rows")

    assert all("headwater subscription drop-types school." in text for text in said)
    assert_each_once(found, 40)
