"""A folder that the processes of one test run share, and that is gone when the last of them is."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

GUARDIAN: Final = Path(__file__).with_name("guardian.py")
STOPPING: Final = "stopping"


@cache
def this_run() -> str:
    """Return the name of this test run: one for all of its processes, and for all who ask."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)[:12]


class RunFolder:
    """A folder for servers, used by this process and by those that name the same *run*.

    Each process that uses it holds a shared lock on a file in it, which the system takes back
    however the process ends. A guardian waits for the last: it then ends every server whose
    data are in the folder, and removes it. So a run that is killed leaves nothing behind.
    """

    def __init__(self, run: str) -> None:
        self.path: Final = self.path_of(run)
        self._users = self._enter()
        with self.one_at_a_time():  # so that a guardian watches, whichever server comes first
            pass

    @staticmethod
    def path_of(run: str) -> Path:
        """Return where the folder of *run* is, or was."""
        return Path(tempfile.gettempdir()) / f"headwater-servers-{run}"

    def _enter(self) -> int:
        while True:
            self.path.mkdir(mode=0o755, exist_ok=True)
            with suppress(FileNotFoundError):
                users = os.open(self.path / "users", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(users, fcntl.LOCK_SH)
                # The guardian of earlier users may have removed the file while we waited.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(users), (self.path / "users").stat()):
                        return users
                os.close(users)

    @contextmanager
    def one_at_a_time(self) -> Generator[None, None, None]:
        """Wait while another process is in here; then see that a guardian is watching."""
        turn = os.open(self.path / "turn", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            guarded = self.path / "guarded"
            if not guarded.exists():
                # It goes into the background by itself, and returns when it watches.
                subprocess.run([sys.executable, GUARDIAN, self.path], check=True)
                guarded.touch()
            yield
        finally:
            os.close(turn)

    def leave(self) -> None:
        """Don't use it any more; the last who leaves has it removed."""
        os.close(self._users)
