"""How the program is called, and what its exit codes say."""

import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli.outcome import ExitCode, code_of, masked
from headwater.errors import (
    ConcurrencyError,
    ConfigurationError,
    HeadwaterError,
    StorageBusyError,
    StorageClosedError,
)
from headwater.streams import ExpectedVersion
from tests.cli.conftest import Shop


def test_the_storage_can_come_from_the_environment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_STORAGE", shop.url)

    assert len(shop.run("stream", "tail", "--json").rows) == 5


@pytest.mark.parametrize(
    "command",
    [
        ("stream", "list"),
        ("stream", "tail"),
        ("stream", "verify"),
        ("db", "init"),
        ("db", "upgrade"),
        ("db", "status"),
        ("db", "recover"),
        ("db", "prune", "--yes"),
    ],
)
def test_a_command_without_another_argument_takes_the_storage_as_one(
    shop: Shop, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_STORAGE", "sqlite:///another.db")

    ran = shop.run(*command, shop.url)

    assert (ran.code, ran.out != "") == (0, True)
    assert not (shop.folder / "another.db").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("db", "prune", "--older-than", "99999999999d", "--yes"),
        ("db", "prune", "--older-than", "999999d", "--yes"),
        ("stream", "tail", "--after", "99999999999999999999"),
        ("stream", "tail", "--limit", "99999999999999999999"),
        ("stream", "show", "sales.order-1", "--from", "99999999999999999999"),
        ("db", "recover", "--reset", "--yes", "--subscriber-from", "99999999999999999999"),
        ("stream", "verify", "--app", "json:dumps"),
        ("stream", "import", "nothing.jsonl", "--storage", "sqlite:///another.db"),
    ],
    ids=" ".join,
)
def test_what_nobody_can_mean_is_exit_code_2(shop: Shop, command: tuple[str, ...]) -> None:
    ran = shop.on_log(*command) if "--storage" not in command else shop.run(*command)

    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert not (shop.folder / "another.db").exists()


def test_a_number_that_nothing_has_come_to_is_no_error(shop: Shop) -> None:
    ran = shop.on_log("stream", "show", "sales.order-1", "--as-of", "99999999999999999999")

    assert ran.code == 0


@pytest.mark.parametrize("command", [("stream", "list"), ("db", "status")])
def test_a_storage_that_is_named_twice_is_exit_code_2(shop: Shop, command: tuple[str, ...]) -> None:
    ran = shop.run(*command, shop.url, "--storage", shop.url)

    assert (ran.code, ran.out) == (2, "")
    assert "twice" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("stream", "list"),
        ("stream", "list", "shop.order"),
        ("stream", "list", "-s", "sqlite:///missing.db"),
        ("stream", "list", "-s", "nosuch://x"),
        ("stream", "list", "--limit", "0", "-s", "sqlite:///log.db"),
        ("stream", "juggle"),
        ("stream", "tail", "--app", "clishop"),
        ("stream", "tail", "--app", "clishop:nothing"),
        ("stream", "tail", "--app", "clishop:SHOP_NAME"),
        ("stream", "tail", "--app", "no.such.module:app"),
        ("stream", "tail", "--app", "clishop:Summaries"),
        ("stream", "tail", "--app", "clishop:send_mail"),
        ("db", "prune", "--older-than", "soon", "-s", "sqlite:///log.db"),
    ],
)
def test_a_wrong_call_is_exit_code_2(shop: Shop, arguments: tuple[str, ...]) -> None:
    ran = shop.run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert not (shop.folder / "missing.db").exists()


def test_an_error_is_json_where_results_are(shop: Shop) -> None:
    ran = shop.run("--json", "stream", "list", "-s", "nosuch://x")

    assert '"error":"ConfigurationError"' in ran.err
    assert '"exit_code":2' in ran.err


def test_help_is_no_error(shop: Shop) -> None:
    ran = shop.run("--help")

    assert ran.code == 0
    assert "1 found something" in ran.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), ExitCode.USAGE),
        (FileNotFoundError("x"), ExitCode.USAGE),
        (StorageBusyError("x"), ExitCode.TIMED_OUT),
        (TimeoutError("x"), ExitCode.TIMED_OUT),
        (StorageClosedError("x"), ExitCode.REFUSED),
        (ConcurrencyError("a", expected=ExpectedVersion.any(), actual=1), ExitCode.REFUSED),
        (HeadwaterError("x"), ExitCode.REFUSED),
        (ZeroDivisionError("x"), ExitCode.FAILED),
    ],
)
def test_each_error_has_an_exit_code(error: Exception, code: ExitCode) -> None:
    assert code_of(error) is code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://ada:s3cret@db/shop: no", "at postgresql://ada:***@db/shop: no"),
        ("postgresql://ada:p@ss@db/shop", "postgresql://ada:***@db/shop"),
        (
            "postgresql://db/shop?user=ada&password=s3cret&x=1",
            "postgresql://db/shop?user=ada&password=***&x=1",
        ),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("https://example.com:80/a@b", "https://example.com:80/a@b"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_password_in_a_url_that_is_refused_is_not_shown(shop: Shop) -> None:
    ran = shop.run("stream", "list", "-s", "nosuch://ada:s3cret@db/shop")

    assert "s3cret" not in ran.out + ran.err


def test_without_typer_the_program_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['typer'] = None; sys.argv = ['headwater']\n"
        "from headwater.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'headwater[cli]'")


def test_the_program_starts_without_what_only_some_commands_need(tmp_path: Path) -> None:
    program = (
        "import sys, headwater.cli.program\n"
        "print(*{'asyncpg', 'cryptography', 'dishka', 'rich.progress'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.strip() == ""
