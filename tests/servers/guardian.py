"""Waits until nobody uses a folder any more, ends the servers in it and removes it.

usage: python guardian.py FOLDER

A process of its own in the background, because those who use the folder may be killed at any
moment. It ends only servers that work in the folder: PostgreSQL's and PgBouncer.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 10.0


def main(folder: Path) -> None:
    users = os.open(folder / "users", os.O_RDWR)
    if os.fork():
        return
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    os.chdir("/")
    fcntl.flock(users, fcntl.LOCK_EX)
    for found in (*folder.glob("*/pgbouncer.pid"), *folder.glob("*/data/postmaster.pid")):
        end(found)
    # Out of the way in one step: the next user of this name may come while it is removed.
    gone = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def end(pid_file: Path) -> None:
    """End the server that wrote *pid_file*, at once: nobody needs its data any more."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().split()[0])
        if not works_in(pid, pid_file.parent):
            return
        # What each of them takes for: at once. PgBouncer has nothing to tidy up.
        stop = signal.SIGQUIT if pid_file.name == "postmaster.pid" else signal.SIGKILL
        os.kill(pid, stop)
        if stop == signal.SIGKILL:
            return
        if not comes_true(lambda: not pid_file.exists()):
            os.kill(pid, signal.SIGKILL)


def works_in(pid: int, data: Path) -> bool:
    """Return whether the process works in *data*, and is not another that got its number."""
    place = Path(f"/proc/{pid}/cwd")
    if not Path("/proc/self/cwd").exists():
        return True
    return place.exists() and place.samefile(data)


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
