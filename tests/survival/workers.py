"""Handles on worker processes: started, stopped in order, killed, made to stand still."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from tests.survival.worker import WorkerOrders

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 20.0
"""How long a worker may take to stop before it counts as hanging."""

SHOWN_MAX: Final = 5000
"""How much of what workers have said a failed test shows."""


class WorkerProcess:
    """A worker that runs, and what it has said."""

    def __init__(self, orders: WorkerOrders, says: Path) -> None:
        """Start it; what it logs goes to the end of *says*."""
        self._says = says.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.survival.worker", msgspec.json.encode(orders).decode()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._says,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Return when it has started, or has ended before it could."""
        _pipe(self._process.stdout).readline()

    def kill(self) -> None:
        """Let it end at once, wherever it is."""
        self._process.kill()
        self._process.wait()

    def stand_still(self) -> None:
        """Let it stand still, for it as if no time passed."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """Let it go on where it stood."""
        self._process.send_signal(signal.SIGCONT)

    def begin_stop(self) -> None:
        """Tell it to stop in order."""
        _pipe(self._process.stdin).close()

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        return self._process.wait(timeout=STOP_SECONDS)

    def stop(self) -> int:
        """Let it stop in order, and return its exit code."""
        self.begin_stop()
        return self.ended()

    def close(self) -> None:
        """Leave nothing of it behind."""
        self._process.kill()  # also what stands still
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._says):
            _pipe(pipe).close()


class WorkerPool:
    """The workers of a test; `folder` has what they leave outside of the storage."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.outside, self.says = folder / "outside", folder / "says"
        self._started: list[WorkerProcess] = []

    def start(self, **orders: Any) -> WorkerProcess:
        """Start a worker with `WorkerOrders`, and return when it is ready."""
        started = self.begin(**orders)
        started.wait_until_ready()
        return started

    def begin(self, **orders: Any) -> WorkerProcess:
        """Start a worker with `WorkerOrders`."""
        seed = orders.pop("seed", len(self._started))
        told = WorkerOrders(self.url, str(self.outside), str(self.folder), seed=seed, **orders)
        self._started.append(WorkerProcess(told, self.says))
        return self._started[-1]

    def open_gate(self) -> None:
        """Let the worker go on that was told to stand still at a moment."""
        (self.folder / "go").touch()

    @property
    def running(self) -> list[WorkerProcess]:
        """Those that have not ended, the oldest first."""
        return [worker for worker in self._started if worker.running]

    def close(self) -> None:
        """End them all."""
        for worker in self._started:
            worker.close()


@contextmanager
def workers(url: str, folder: Path) -> Generator[WorkerPool, None, None]:
    """Workers on the storage at *url*, ended with the block."""
    pool = WorkerPool(url, folder)
    try:
        yield pool
    finally:
        pool.close()
        # A failed test shows it.
        print(pool.says.read_text()[-SHOWN_MAX:] if pool.says.exists() else "no worker ran")


def _pipe(pipe: IO[Any] | None) -> IO[Any]:
    assert pipe is not None
    return pipe
