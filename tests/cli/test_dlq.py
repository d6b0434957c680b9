"""Operators look at dead letters, correct, replay and discard them from the command line."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headwater.app.app import App
from headwater.cli.outcome import ExitCode
from headwater.errors import ParkedKeyError
from headwater.streams import ExpectedVersion
from tests.cli.conftest import Ran, Shop

POST = """
from headwater import App, BoundedContext, Event, ReadModel
from headwater.unit_of_work.collection import Collection


class Written(Event, context="post"):
    box: str
    text: str


class Sent(ReadModel, key="box", context="post"):
    box: str
    text: str


post = BoundedContext("post")


@post.subscriber(name="send", external=False)
async def send(event: Written, sent: Collection[Sent]) -> None:
    secret = "hunter2"
    if event.text == "rude":
        raise ValueError(f"not to box {event.box}")
    sent.put(Sent(event.box, event.text))


post.register(Written)


def app() -> App:
    made = App("post", storage="sqlite:///post.db")
    made.include(post)
    return made
"""


class Post:
    """A folder with an app whose subscriber has parked the boxes a and b."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def run(self, *arguments: str, app: bool = False) -> Ran:
        """Run a command of dead letters, with results as JSON."""
        place = ("--app", "clipost:app") if app else ("--storage", "sqlite:///post.db")
        return self._shop.run("--json", "dlq", *arguments, *place)

    def ids(self) -> dict[str, str]:
        """Return the ids of dead letters by key."""
        return {row["key"]: row["id"] for row in self.run("list").rows}

    def work(self, *written: tuple[str, str]) -> bool:
        """Let the app run until all is done that can be; return whether nothing is parked."""
        return asyncio.run(self._work(written))

    async def _work(self, written: tuple[tuple[str, str], ...]) -> bool:
        module = _module()
        app: App = module.app()
        async with app:
            for box, text in written:
                await app.event_store.append(
                    f"post.box-{box}",
                    [module.Written(box, text)],
                    expected=ExpectedVersion.any(),
                )
            async with asyncio.timeout(20):
                while True:
                    # Before: what was parked a moment ago may be done by the time it is told.
                    asked = await self._asked(app)
                    try:
                        await app.settle()
                    except ParkedKeyError:
                        if not asked:
                            return False
                    else:
                        return True
                    await asyncio.sleep(0.01)

    async def _asked(self, app: App) -> bool:
        await app.dead_letters.prepare()
        return await app.storage.count_rows("headwater_delivery_requests") > 0


def _module() -> ModuleType:
    import clipost  # type: ignore[import-not-found] # noqa: PLC0415 - written by the test

    found: ModuleType = clipost
    return found


@pytest.fixture
def post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Post]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("HEADWATER_STORAGE", raising=False)
    (tmp_path / "clipost.py").write_text(POST)
    post = Post(Shop(tmp_path, capsys))
    assert not post.work(("a", "rude"), ("a", "later"), ("b", "rude"), ("c", "kind"))
    yield post
    sys.modules.pop("clipost", None)


def test_dead_letters_are_listed_counted_and_grouped(post: Post) -> None:
    listed, every = post.run("list"), post.run("list", "--state", "all")
    grouped = post.run("groups")

    counts = post.run("counts")
    assert counts.object == {"ready": 0, "delayed": 0, "dead": 2, "waiting": 1}
    assert listed.code == ExitCode.FOUND
    assert [row["key"] for row in listed.rows] == ["post.box-a", "post.box-b"]
    assert "2 dead, 1 waiting" in listed.err
    assert [row["state"] for row in every.rows] == ["dead", "waiting", "dead"]
    (group,) = grouped.rows
    assert (group["count"], group["error"], group["keys"]) == (2, "ValueError", 2)
    assert group["place"].startswith("clipost.py:")
    assert len(post.run("list", "--group", group["group"]).rows) == 2
    assert len(post.run("list", "--subscription", "post.send", "--key", "post.box-b").rows) == 1
    assert post.run("list", "--key", "post.box-b").code == ExitCode.USAGE
    assert post.run("list", "--state", "lost").code == ExitCode.USAGE


def test_one_is_shown_with_its_event_and_a_traceback_without_values(post: Post) -> None:
    shown = post.run("show", post.ids()["post.box-a"]).object

    assert json.loads(shown["event"]) == {"box": "a", "text": "rude"}
    assert shown["waiting_behind"] == 1
    assert "not to box a" in shown["traceback"]
    assert "hunter2" not in shown["traceback"].replace('secret = "hunter2"', "")
    assert post.run("show", "nobody-1").code == ExitCode.REFUSED


def test_it_is_corrected_tried_replayed_and_everything_is_in_the_history(post: Post) -> None:
    id = post.ids()["post.box-a"]
    kind = '{"box":"a","text":"kind"}'
    assert post.run("dry-run", id, app=True).code == ExitCode.FOUND
    tried = post.run("dry-run", id, "--data", kind, app=True)
    assert tried.object["rows"][0]["collection"] == "post_sent"
    assert post.run("edit", id, "--data", '{"box":1}', "--reason", "x", app=True).code != 0
    edited = post.run("edit", id, "--data", kind, "--reason", "rude", "--by", "ada", app=True)
    assert edited.object["is_read"] == kind

    asked = post.run("replay", id, "--by", "ada")
    assert asked.object["asked_for"] == 1
    post.work()

    assert list(post.ids()) == ["post.box-b"]
    done = post.run("history", "--delivery", id).rows
    assert [(row["action"], row["by"]) for row in done][:3] == [
        ("replayed", "ada"),
        ("replay asked for", "ada"),
        ("edited", "ada"),
    ]
    assert done[-1]["action"] == "parked"


def test_many_are_only_replayed_or_discarded_when_that_is_confirmed(post: Post) -> None:
    assert post.run("replay").code == ExitCode.USAGE
    assert post.run("replay", "--all", post.ids()["post.box-a"]).code == ExitCode.USAGE
    assert len(post.run("replay", "--all", "--dry-run").rows) == 2
    assert post.run("replay", "--all").code == ExitCode.REFUSED
    assert post.run("discard", "--all", "--reason", "old").code == ExitCode.REFUSED

    discarded = post.run("discard", "--all", "--reason", "old", "--yes", "--by", "ada")

    assert discarded.object["asked_for"] == 2
    assert post.work()
    assert post.run("list", "--state", "all").code == ExitCode.OK
    actions = [row["action"] for row in post.run("history").rows]
    assert actions.count("discarded") == 2


def test_what_has_no_dead_letters_says_so(tmp_path: Path, shop: Shop) -> None:
    assert shop.on_log("dlq", "list").code == ExitCode.OK
    assert shop.on_log("dlq", "replay", "--all").code == ExitCode.FOUND
    ran: Any = shop.run("dlq", "list", "--storage", shop.url)
    assert "0 dead" in ran.err


@pytest.mark.parametrize("command", [("replay",), ("discard", "--reason", "it is old")])
def test_a_key_without_its_subscription_is_a_mistake_of_usage(
    post: Post, command: tuple[str, ...]
) -> None:
    ran = post.run(*command, "--key", "post.box-a", "--yes")

    assert ran.code == ExitCode.USAGE
    assert "--subscription" in ran.err


def test_a_replay_can_be_waited_for_and_says_if_nobody_does_it(post: Post) -> None:
    ran = post.run("replay", post.ids()["post.box-a"], "--wait", "0.1")

    assert ran.code == ExitCode.TIMED_OUT
    assert ran.rows[0]["left"] == 1


def test_a_dry_run_without_an_app_says_what_is_missing(post: Post) -> None:
    ran = post.run("dry-run", post.ids()["post.box-a"])

    assert ran.code == ExitCode.USAGE
