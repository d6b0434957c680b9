#!/usr/bin/env python3
"""Headwater's commands, for a machine that has Python 3.11 and nothing else.

usage: python3 run.py COMMAND [ARGUMENTS]

  demo [ARGUMENTS]   run the shop: real purchases through every part, on one SQLite file
                     (demo --once prints one JSON object; demo --help lists the rest)
  test [ARGUMENTS]   run the tests; arguments go to pytest (test -k name, test tests/house)
  check              format, lint, types (mypy and pyright, strict), import contracts
  bench [NAME]       run the benchmarks in benchmarks/, or the one of that name

The first run makes .venv and installs into it, with uv if there is one or pip can get it,
otherwise with pip; later runs do so again only when what is to be installed has changed.
Tests need PostgreSQL's server and PgBouncer too: on Debian and Ubuntu, root gets them with apt-get.
What this script has to say goes to stderr; stdout belongs to the command.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# Before anything that an older Python can't read.
if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older Python is told so
    sys.exit(
        f"headwater: Python 3.11 or newer is needed; this is {sys.version.split()[0]}. "
        "Install one and run it by name: python3.11 run.py ..."
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOCKED = ROOT / "requirements-dev.txt"
STAMP = VENV / "headwater-installed"
POSTGRES = Path("/usr/lib/postgresql")
CHECKED = ("src", "tests", "examples", "benchmarks", "run.py")

Command = Callable[[Sequence[str]], int]


def say(text: str) -> None:
    print(f"headwater: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path) -> bool:
    """Return whether *command* succeeded; what it prints goes to stderr."""
    return subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode == 0


def answers(*command: str | Path) -> bool:
    """Return whether *command* can be run at all and succeeds, showing nothing."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


# ---------------------------------------------------------------------- the virtual environment


def prepare() -> None:
    """Make .venv hold exactly what the lock file names, and this project, editable."""
    wanted = fingerprint()
    with one_at_a_time():
        if installed() == wanted:
            return
        if not answers(PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
            make_venv()
        if not (install_with_uv() or install_with_pip()):
            sys.exit(
                "headwater: the packages could not be installed; the reason stands above. The "
                "first run needs a package index: check the network, a proxy (HTTPS_PROXY) or "
                "pip's own settings, then run this again."
            )
        STAMP.write_text(wanted)
        say("Ready.")


def fingerprint() -> str:
    """Return a hash of all that decides what has to be installed, and where."""
    hashed = hashlib.sha256(str(ROOT).encode())
    for file in (ROOT / "pyproject.toml", LOCKED):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def installed() -> str:
    """Return the fingerprint of what .venv holds, empty if that is not known."""
    return STAMP.read_text() if STAMP.exists() and PYTHON.exists() else ""


@contextmanager
def one_at_a_time() -> Generator[None, None, None]:
    """Wait while another run.py installs into the same .venv."""
    if os.name != "posix":
        yield
        return
    import fcntl  # noqa: PLC0415 - POSIX only

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def uv() -> str | None:
    """Return a uv that works: the one on PATH, else the one in .venv."""
    candidates = (shutil.which("uv"), shutil.which("uv", path=str(PYTHON.parent)))
    return next((found for found in candidates if found and answers(found, "--version")), None)


def make_venv() -> None:
    say(f"Making .venv with Python {sys.version.split()[0]}.")
    options = ["--without-pip"] if uv() else []
    if find_spec("venv") is None or (not options and find_spec("ensurepip") is None):
        sys.exit(
            "headwater: this Python has no venv or ensurepip, which make virtual environments. "
            "Debian and Ubuntu: apt install python3-venv. Elsewhere: install a full Python, or uv."
        )
    if not run(sys.executable, "-m", "venv", "--clear", *options, VENV):
        sys.exit("headwater: .venv could not be made; the reason stands above.")


def install_with_uv() -> bool:
    if uv() is None:
        say("Getting uv, which installs faster than pip.")
        if not answers(PYTHON, "-m", "pip", "install", "--retries=1", "--only-binary=:all:", "uv"):
            return False
    found = uv()
    if found is None:
        return False
    say(f"Installing the packages of {LOCKED.name} and headwater itself with uv.")
    install = (found, "pip", "install", "--quiet", "--python", PYTHON)
    return run(*install, "--require-hashes", "-r", LOCKED) and run(
        *install, "--no-deps", "--no-build-isolation", "-e", ROOT
    )


def install_with_pip() -> bool:
    say(f"Installing the packages of {LOCKED.name} and headwater itself with pip.")
    if not answers(PYTHON, "-m", "pip", "--version") and not run(PYTHON, "-m", "ensurepip"):
        return False
    install = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    return run(*install, "--require-hashes", "-r", LOCKED) and run(
        *install, "--no-deps", "--no-build-isolation", "-e", ROOT
    )


# ---------------------------------------------------------------------------------- the servers


def prepare_servers() -> None:
    """Install the servers that tests start, where that can be done; else say what to do."""
    with one_at_a_time():
        missing = missing_servers()
        if not missing:
            return
        packages = " ".join(missing)
        problem = f"Servers for the tests are not there: {packages}"
        if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
            say(f"Installing servers for the tests: apt-get install {packages}.")
            apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes")
            run(*apt, "update")  # what it could not reach, the installation may not need
            run(*apt, "--no-install-recommends", "install", *missing)
            missing = missing_servers()
            if not missing:
                return
            packages = " ".join(missing)
            problem = f"{packages} could not be installed; the reason stands above"
    say(
        f"{problem}. Tests that need them are skipped. Debian and Ubuntu: apt install {packages}. "
        "Elsewhere: install them and put their programs on PATH."
    )


def missing_servers() -> list[str]:
    """Return the names of Debian's packages whose programs are not here."""
    there = {
        "postgresql": shutil.which("initdb") or any(POSTGRES.glob("*/bin/initdb")),
        "pgbouncer": shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"),
    }
    return [package for package, found in there.items() if not found]


# --------------------------------------------------------------------------------- the commands


def demo(arguments: Sequence[str]) -> int:
    prepare()
    # In the caller's folder, so that the paths among the arguments mean what they say; -P and
    # PYTHONPATH, so that this folder's examples are run and not others that stand there.
    os.environ["PYTHONPATH"] = str(ROOT)
    return hand_over("-P", "-m", "examples.shop", *arguments)


def test(arguments: Sequence[str]) -> int:
    prepare()
    prepare_servers()
    os.chdir(ROOT)
    return hand_over("-m", "pytest", *arguments)


def check(arguments: Sequence[str]) -> int:
    if arguments:
        return usage(f"check takes no arguments, not {' '.join(arguments)}")
    prepare()
    os.environ["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"  # of newer versions: the lock decides
    paths = [path for path in CHECKED if (ROOT / path).exists()]
    steps: dict[str, Sequence[str]] = {
        "format": ("ruff", "format", "--check", "."),
        "lint": ("ruff", "check", "."),
        "types with mypy": ("mypy", *paths),
        "types with pyright": ("pyright",),
        "imports": ("lint-imports", "--no-logo", "--no-cache"),
    }
    failed: list[str] = []
    for name, command in steps.items():
        say(f"Checking {name}.")
        tool = PYTHON.with_name(command[0])
        if subprocess.run([tool, *command[1:]], cwd=ROOT, check=False).returncode:
            failed.append(name)
    say(f"Failed: {'; '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


def bench(arguments: Sequence[str]) -> int:
    names = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if p.stem[0] != "_")
    if arguments and arguments[0] not in names:
        return usage(f"no benchmark {arguments[0]!r}; there are: {', '.join(names) or 'none'}")
    prepare()
    os.chdir(ROOT)
    if arguments:
        return hand_over("-m", f"benchmarks.{arguments[0]}", *arguments[1:])
    failed: list[str] = []
    for name in names:
        say(f"Running benchmarks/{name}.py.")
        if subprocess.run([PYTHON, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        say(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


def hand_over(*arguments: str) -> int:
    """Become .venv's Python with *arguments*, so that signals and the exit code are its own."""
    if os.name == "posix":
        os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606 - no shell is the point
    return subprocess.run([PYTHON, *arguments], check=False).returncode


def stop(signal_number: int, _frame: object) -> None:
    """End with what was started here: subprocess.run kills its child on an exception."""
    sys.exit(128 + signal_number)


def usage(problem: str) -> int:
    say(f"{problem}. See: python3 run.py --help")
    return 2


def main(arguments: Sequence[str]) -> int:
    commands: dict[str, Command] = {"demo": demo, "test": test, "check": check, "bench": bench}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print((__doc__ or "").strip())
        return 0 if arguments else 2
    if arguments[0] not in commands:
        return usage(f"no command {arguments[0]!r}; there are: {', '.join(commands)}")
    signal.signal(signal.SIGTERM, stop)
    try:
        return commands[arguments[0]](arguments[1:])
    except KeyboardInterrupt:
        say("Stopped.")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
