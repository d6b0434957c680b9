"""run.py: what a newcomer types first."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parents[2]


def run_py(*arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    outcome = run_py("--help")

    assert outcome.returncode == 0
    for command in ("demo", "test", "check", "bench"):
        assert re.search(rf"^  {command} ", outcome.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("tset",), "no command 'tset'; there are: demo, test, check, bench."),
        (("bench", "no-such"), "no benchmark 'no-such'; there are: "),
        (("check", "--fast"), "check takes no arguments, not --fast."),
    ],
)
def test_a_wrong_command_line_is_explained_on_stderr(
    arguments: Sequence[str], problem: str
) -> None:
    outcome = run_py(*arguments)

    assert outcome.returncode == 2
    assert problem in outcome.stderr
    assert outcome.stdout == ""


# --------------------------------------------------------------------------- the environment


class Installation:
    """A project folder with a .venv that works, and installers that only note their names."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used: list[str] = []
        self.uv_works = self.pip_works = True
        self.pyproject, self.locked = folder / "pyproject.toml", folder / "requirements-dev.txt"
        self.pyproject.write_text("[project]")
        self.locked.write_text("msgspec==1")
        monkeypatch.setattr(run, "ROOT", folder)
        monkeypatch.setattr(run, "LOCKED", self.locked)
        monkeypatch.setattr(run, "PYTHON", Path(sys.executable))
        monkeypatch.setattr(run, "STAMP", folder / "stamp")
        monkeypatch.setattr(run, "install_with_uv", self._with_uv)
        monkeypatch.setattr(run, "install_with_pip", self._with_pip)

    def _with_uv(self) -> bool:
        self.used.append("uv")
        return self.uv_works

    def _with_pip(self) -> bool:
        self.used.append("pip")
        return self.pip_works


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(tmp_path, monkeypatch)


def test_what_is_installed_already_is_not_installed_again(installation: Installation) -> None:
    run.prepare()
    run.prepare()

    assert installation.used == ["uv"]


@pytest.mark.parametrize("changed", ["pyproject", "locked"])
def test_a_change_of_what_to_install_installs_again(
    installation: Installation, changed: str
) -> None:
    run.prepare()

    getattr(installation, changed).write_text("changed")
    run.prepare()

    assert installation.used == ["uv", "uv"]


def test_pip_installs_where_uv_can_not(installation: Installation) -> None:
    installation.uv_works = False

    run.prepare()

    assert installation.used == ["uv", "pip"]


def test_a_failed_installation_is_explained_and_tried_again_next_time(
    installation: Installation,
) -> None:
    installation.uv_works = installation.pip_works = False

    with pytest.raises(SystemExit, match="could not be installed"):
        run.prepare()
    with pytest.raises(SystemExit, match="could not be installed"):
        run.prepare()

    assert installation.used == ["uv", "pip"] * 2


def test_all_that_is_said_goes_to_stderr(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    run.prepare()

    said = capsys.readouterr()
    assert "headwater: Ready." in said.err
    assert said.out == ""


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for a command")
def test_what_an_installer_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    succeeded = run.run("sh", "-c", "echo installing")

    assert succeeded
    assert capfd.readouterr() == ("", "installing\n")


# -------------------------------------------------------------------------------- the servers


class Machine:
    """A machine without servers, whose apt-get installs them if it works."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.apt_works, self.programs, self.user = True, {"apt-get"}, 0
        self._server = folder / "15" / "bin" / "initdb"
        monkeypatch.setattr(run, "ROOT", folder)
        monkeypatch.setattr(run, "POSTGRES", folder)
        monkeypatch.setattr(run, "run", self._run)
        monkeypatch.setattr(os, "geteuid", lambda: self.user)
        monkeypatch.setattr(shutil, "which", self._which)

    def install(self, *packages: str) -> None:
        if "postgresql" in packages:
            self._server.parent.mkdir(parents=True)
            self._server.touch()
        self.programs |= {"pgbouncer"} & {*packages}

    def _run(self, *command: str) -> bool:
        self.ran.append(" ".join(command[command.index("apt-get") :]))
        if "install" in command and self.apt_works:
            self.install(*command)
        return self.apt_works

    def _which(self, program: str, path: str | None = None) -> str | None:
        return program if program in self.programs else None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_servers_that_are_there_are_not_installed(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install("postgresql", "pgbouncer")

    run.prepare_servers()

    assert machine.ran == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("there", "missing"), [((), "postgresql pgbouncer"), (("postgresql",), "pgbouncer")]
)
def test_root_gets_what_is_missing_with_apt_and_is_told(
    machine: Machine, capsys: pytest.CaptureFixture[str], there: tuple[str, ...], missing: str
) -> None:
    machine.install(*there)

    run.prepare_servers()

    assert machine.ran[-1] == f"apt-get --yes --no-install-recommends install {missing}"
    said = capsys.readouterr()
    assert f"apt-get install {missing}" in said.err
    assert "skipped" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("lacking", ["root", "apt-get", "a package"])
def test_where_servers_can_not_be_installed_it_is_said_what_to_do(
    machine: Machine, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    if lacking == "root":
        machine.user = 1000
    if lacking == "apt-get":
        machine.programs.clear()
    machine.apt_works = False

    run.prepare_servers()

    assert bool(machine.ran) == (lacking == "a package")
    assert "apt install postgresql pgbouncer" in capsys.readouterr().err


# ------------------------------------------------------------------------------ the lock file


def normalized(requirement: str) -> str:
    """Return the name of the distribution that *requirement* asks for (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_the_lock_file_has_all_that_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    locked = {normalized(line) for line in lines if re.match(r"[A-Za-z0-9]", line)}

    assert {normalized(requirement) for requirement in asked} <= locked


def test_every_locked_package_has_its_hashes() -> None:
    locked = (ROOT / "requirements-dev.txt").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", locked, flags=re.MULTILINE)[1:]

    assert all("--hash=sha256:" in block for block in blocks)
