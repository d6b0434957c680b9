"""The command line, as a user has it: a process, its output, its exit code."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.shop.cli import CDNOW
from headwater import EventStore
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = (sys.executable, "-m", "examples.shop")


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def run_once(*arguments: str, code: int = 0) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(run("--once", *arguments, code=code).stdout)
    return summary


def test_once_prints_one_object_that_says_all_is_well() -> None:
    summary = run_once("--orders", "60")

    assert list(summary["invariants"].values()) == [True] * 10
    assert {name: summary[name] for name in ("orders", "customers", "ok", "rejected")} == {
        "orders": 60,
        "customers": 21,
        "ok": True,
        "rejected": 0,
    }
    assert summary["revenue"] == revenue_of(60)
    assert summary["events"] >= 3 * 60 + 21


def test_trouble_is_survived_and_mended() -> None:
    summary = run_once("--chaos", "--orders", "60")

    chaos = summary["chaos"]
    [parked] = chaos["parked"]
    assert (parked["subscription"], parked["letters"]) == ("mail.send-confirmation", 6)
    assert all(chaos["meanwhile"].values())
    assert all(summary["invariants"].values())
    assert (summary["ok"], chaos["workers_killed"], chaos["letters"]) == (True, 1, 60)


def test_the_report_is_for_people() -> None:
    done = run("--orders", "20")

    assert "Who spent most:" in done.stdout
    assert "NO" not in done.stdout
    assert "Read models" in done.stderr


def test_bad_lines_are_told_and_the_others_processed(tmp_path: Path) -> None:
    file = tmp_path / "purchases.csv"
    file.write_bytes(
        b"\xef\xbb\xbfdate,customer_id,cds,dollars\r\n"
        b"1997-01-01,A,1,1.00\r\n"
        b"\xff\xff,B,1,1.00\r\n"
        b"1997-01-02,A\r\n"
        b"\r\n"
        b"1997-01-03,A,1,-5\r\n"
        b"0001-01-01,a,1,0.00\r\n"
        b"9999-12-31,\xc3\xa4 b,3,2.50\r\n"
        b"1997-01-01,A,1,1.00\r\n"
    )

    done = run("--once", "--input", str(file))

    summary = json.loads(done.stdout)
    assert (summary["orders"], summary["customers"], summary["rejected"]) == (4, 3, 3)
    assert summary["revenue"] == "4.50"
    told = [line for line in done.stderr.splitlines() if line.startswith("line ")]
    assert [line.partition(":")[0] for line in told] == ["line 3", "line 4", "line 6"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input", "/nowhere/at-all.csv"), "No such file"),
        (("--orders", "few"), "neither a number nor 'all'"),
        (("--storage", "mysql://db"), "No storage for 'mysql' URLs"),
        (("--storage", "postgres://db"), "names no user"),
    ],
)
def test_what_can_not_be_used_is_told(arguments: tuple[str, ...], said: str) -> None:
    done = run("--once", *arguments, code=2)

    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_list_of_purchases_is_refused() -> None:
    assert "no header" in run("--input", __file__, code=2).stderr


def test_a_second_run_adds_nothing_and_a_longer_one_the_rest(tmp_path: Path) -> None:
    storage = ("--storage", f"sqlite:///{tmp_path}/shop.db")
    first = run_once("--orders", "40", *storage)

    second = run_once("--orders", "40", *storage)
    longer = run_once("--orders", "60", *storage)

    assert second["ok"]
    assert second["events"] == first["events"]
    assert longer["ok"]
    assert longer["revenue"] == revenue_of(60)


def test_a_storage_is_not_mixed_with_another_input(tmp_path: Path) -> None:
    storage = ("--storage", f"sqlite:///{tmp_path}/shop.db")
    other = tmp_path / "other.csv"
    other.write_text("customer_id,date,cds,dollars\n1,1997-01-01,1,1.00\n")
    run("--orders", "10", *storage)

    assert "another input" in run("--input", str(other), "--orders", "all", *storage, code=2).stderr
    assert "Raise --orders" in run("--orders", "9", *storage, code=2).stderr


async def test_a_run_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    storage = ("--storage", f"sqlite:///{file}", "--orders", "1200")
    killed = await asyncio.create_subprocess_exec(
        *COMMAND,
        *storage,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    async with EventStore(SqliteStorage(SqliteSettings(file))) as log:
        while await log.head() < 700:
            assert killed.returncode is None, "it ended by itself"
            await log.storage.wait_for_news(699, seconds=1)
        killed.kill()
        await killed.wait()
        assert 700 <= await log.head() < 3 * 1200

    summary = run_once(*storage)

    assert summary["ok"]
    assert summary["revenue"] == revenue_of(1200)


def revenue_of(orders: int) -> str:
    """Return what the first *orders* purchases cost, in cents added up as integers."""
    with CDNOW.open() as file:
        next(file)
        cents = sum(int(next(file).rpartition(",")[2].replace(".", "")) for _ in range(orders))
    return f"{cents // 100}.{cents % 100:02}"
