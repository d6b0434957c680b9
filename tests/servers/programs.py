"""Runs the programs of servers in folders of their own, never as root."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 30.0


class ServerError(Exception):
    """A server did not do what it was told; what it said stands in the message."""


@cache
def _owner() -> pwd.struct_passwd | None:
    """Return the user that servers run as, None for the one who runs the tests.

    PostgreSQL and PgBouncer refuse to run as root.
    """
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return next(users[name] for name in ("postgres", "nobody") if name in users)


def make_folder(folder: Path) -> None:
    """Make a folder that servers can write to."""
    folder.mkdir(mode=0o755)
    owner = _owner()
    if owner is not None:
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)


def run_program(folder: Path, command: Sequence[str | Path]) -> None:
    """Run *command* in *folder* until it returns; a server that it starts goes on.

    Raises:
        ServerError: it failed.
    """
    owner = _owner()
    # Into a file: a server that is started inherits it and would keep a pipe open.
    said = folder / "said"
    with said.open("w") as output:
        outcome = subprocess.run(
            command,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C", "HOME": str(folder)},
            check=False,
        )
    if outcome.returncode:
        log = folder / "log"
        logged = log.read_text(errors="replace") if log.exists() else ""
        raise ServerError(f"{command[0]} failed: {said.read_text()}\n{logged}")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether somebody takes connections on a port of the loopback interface."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], problem: str) -> None:
    """Return as soon as *condition* holds.

    Raises:
        ServerError: it does not for `PATIENCE_SECONDS`; *problem* is the message.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(problem)
        time.sleep(0.01)
